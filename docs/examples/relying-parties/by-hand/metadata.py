"""A new key for a service, and the client metadata to register it with.

Run: python metadata.py var/library.json > var/metadata.json
"""

import json
import sys
from pathlib import Path

from joserfc.jwk import ECKey

key = ECKey.generate_key("P-256", {"alg": "ES256", "use": "sig"}, auto_kid=True)
private = Path(sys.argv[1])
private.touch(mode=0o600, exist_ok=False)  # nobody else's, and never in another's place
private.write_text(json.dumps(key.as_dict(private=True)))

metadata = {
    "client_name": "Library",
    "redirect_uris": ["http://localhost:5004/callback"],
    "post_logout_redirect_uris": ["http://localhost:5004/signed-out"],
    "scope": "openid email",
    "jwks": {"keys": [key.as_dict(private=False)]},
}
print(json.dumps(metadata, indent=2))
