"""A service that signs people in: Flask and Authlib.

Run: GATEWAY=… CLIENT_ID=… KEY_FILE=… flask --app app run
"""

import os
import secrets
from pathlib import Path

from authlib.integrations.flask_client import OAuth
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from flask import Flask, redirect, session, url_for
from joserfc.jwk import ECKey

GATEWAY = os.environ["GATEWAY"]
key = ECKey.import_key(Path(os.environ["KEY_FILE"]).read_text())

app = Flask(__name__)
app.secret_key = secrets.token_bytes(32)  # one of your own, kept, where several processes serve
app.config["SESSION_COOKIE_NAME"] = "library"  # ports do not separate cookies

oauth = OAuth(app)
oauth.register(
    "gateway",
    client_id=os.environ["CLIENT_ID"],
    client_secret=key,
    server_metadata_url=f"{GATEWAY}/.well-known/openid-configuration",
    # The kid is the key's thumbprint; the gateway alone is the audience.
    client_auth_methods=[PrivateKeyJWT(GATEWAY, headers={"kid": key.thumbprint()}, alg="ES256")],
    client_kwargs={
        "scope": "openid email",
        "code_challenge_method": "S256",
        "token_endpoint_auth_method": "private_key_jwt",
    },
)


@app.get("/")
def home():
    person = session.get("person")
    return {"signed_in": person} if person else redirect(url_for("sign_in"))


@app.get("/sign-in")
def sign_in():
    return oauth.gateway.authorize_redirect(url_for("callback", _external=True))


@app.get("/callback")
def callback():
    session["person"] = oauth.gateway.authorize_access_token()["userinfo"]["sub"]
    return redirect(url_for("home"))
