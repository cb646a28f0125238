"""A service that signs people in and out: Flask and Authlib.

Run: GATEWAY=… CLIENT_ID=… KEY_FILE=… flask --app app run
"""

import os
import secrets
from pathlib import Path

from authlib.integrations.flask_client import OAuth, OAuthError
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from flask import Flask, abort, redirect, request, session, url_for
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
    return {"signed_in": person, "email": session["email"]} if person else redirect(url_for("sign_in"))


@app.get("/sign-in")
def sign_in():
    return oauth.gateway.authorize_redirect(url_for("callback", _external=True))


@app.get("/callback")
def callback():
    if request.args.get("iss") != GATEWAY:  # RFC 9207; Authlib does not compare it
        abort(400, "This answer is not from the gateway.")
    token = oauth.gateway.authorize_access_token()
    claims = oauth.gateway.userinfo(token=token)
    if claims["sub"] != token["userinfo"]["sub"]:  # of the ID token (OpenID Connect Core, section 5.3.2)
        abort(400, "These claims are about somebody else.")
    session.update(person=claims["sub"], email=claims["email"], id_token=token["id_token"])
    return redirect(url_for("home"))


@app.get("/sign-out")
def sign_out():
    hint = session.get("id_token")
    session.clear()
    return oauth.gateway.logout_redirect(url_for("signed_out", _external=True), id_token_hint=hint)


@app.get("/signed-out")
def signed_out():
    return "You are signed out."


@app.errorhandler(OAuthError)
def refused(error):
    return {"error": error.error, "error_description": error.description}, 400
