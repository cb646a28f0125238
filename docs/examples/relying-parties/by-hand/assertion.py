"""A client assertion (RFC 7523) for one request, good for a minute.

Run: GATEWAY=… CLIENT_ID=… KEY_FILE=… python assertion.py
"""

import json
import os
import time
import uuid
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import ECKey

client_id, now = os.environ["CLIENT_ID"], int(time.time())
key = ECKey.import_key(json.loads(Path(os.environ["KEY_FILE"]).read_text()))  # a JWK; of PEM, the text itself
claims = {"iss": client_id, "sub": client_id, "aud": os.environ["GATEWAY"], "jti": str(uuid.uuid4())}
print(jwt.encode({"alg": "ES256", "kid": key.thumbprint()}, {**claims, "iat": now, "exp": now + 60}, key))
