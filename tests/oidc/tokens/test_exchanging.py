"""Token exchange: a system calls on for the officer whose token another gave it, and for nobody else."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.directory.oauth import OAuthSettings
from gateway.identity.accounts import suspend_account
from gateway.identity.caller import Caller, Presented
from gateway.oidc.errors import TokenRefused
from gateway.wire.jws import unverified_claims
from gateway.wire.signer import PrivateKeySigner
from tests.kit.oidc_world import OidcWorld, Person, RelyingParty
from tests.kit.tokens import ACCESS_TOKEN, EXCHANGE, exchange, introspect, post, with_proof

API = "https://cases.council.example/v1"


def system(provider: OidcWorld, *, through: tuple[RelyingParty, ...] = (), **changes: Any) -> RelyingParty:
    """A system that may exchange the tokens of others."""
    names = tuple(other.client.client_id for other in through)
    oauth = OAuthSettings(id_token_signed_response_alg="ES256", may_act_through=names)
    return provider.relying_party(grant_types=(EXCHANGE, "client_credentials"), oauth=oauth, **changes)


def portal_of(provider: OidcWorld, **changes: Any) -> RelyingParty:
    """Where officers sign in."""
    return provider.relying_party(resources=(API, provider.sharing), **changes)


def token_of(provider: OidcWorld, rp: RelyingParty, person: Person, **asked: Any) -> str:
    browser = provider.signed_in(person, methods=asked.pop("methods", None))
    code, verifier = rp.code(browser, **{"resource": API, "scope": "openid email"} | asked)
    token: str = rp.redeem(code, verifier).json()["access_token"]
    return token


def caller_of(provider: OidcWorld, token: str) -> Caller:
    endpoint = provider.gateway.provider.endpoints.sharing
    shown = Presented(method="POST", endpoint=endpoint, authorization=(f"Bearer {token}",))
    return provider.gateway.provider.caller_from_request(shown, provider.clock.now())


def test_the_officer_stays_the_subject_and_the_calling_system_is_the_actor(provider: OidcWorld) -> None:
    portal, officer = portal_of(provider), provider.officer()
    records = system(provider, through=(portal,))
    shown = token_of(provider, portal, officer)
    provider.advance(minutes=1)
    answer = exchange(records, shown)
    assert answer.status_code == 200, answer.text
    given = answer.json()
    assert given["issued_token_type"] == ACCESS_TOKEN
    assert "refresh_token" not in given
    before, after = unverified_claims(shown), unverified_claims(given["access_token"])
    assert after["client_id"] == records.client.client_id
    assert after["act"] == {"sub": records.client.client_id, "act": {"sub": portal.client.client_id}}
    assert after["aud"] == provider.sharing
    # Strength and time are those of the sign-in, and the end is not later than the first token's.
    assert {name: after[name] for name in ("acr", "auth_time", "exp", "roles", "member")} == {
        name: before[name] for name in ("acr", "auth_time", "exp", "roles", "member")
    }
    assert given["expires_in"] == 240
    caller = caller_of(provider, given["access_token"])
    assert caller.client.client_id == records.client.client_id
    assert caller.officer is not None
    assert caller.officer.account_id == officer.account.account_id
    # The officer's name is the one that this system's sector has for them.
    assert after["sub"] != before["sub"]
    (event,) = provider.events("oidc.tokens.exchanged")
    assert (event["client"], event["through"]) == (records.client.client_id, portal.client.client_id)


def test_a_system_may_act_only_through_those_it_is_registered_for(provider: OidcWorld) -> None:
    portal, other = portal_of(provider), portal_of(provider)
    records = system(provider, through=(portal,))
    stranger = system(provider, through=())
    officer = provider.officer()
    for asker, shown in (
        (records, token_of(provider, other, officer)),
        (stranger, token_of(provider, portal, officer)),
    ):
        refused = exchange(asker, shown)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    # Nor through itself, to get a fresh token for an old one.
    own = token_of(provider, portal, officer)
    provider.change_client(replace(portal.client, grant_types=(*portal.client.grant_types, EXCHANGE)))
    assert exchange(portal, own, resource=API).json()["error"] == "invalid_request"
    assert provider.events("oidc.tokens.exchanged") == []


def test_a_system_without_the_grant_or_the_resource_gets_nothing(provider: OidcWorld) -> None:
    portal = portal_of(provider)
    records = system(provider, through=(portal,))
    shown = token_of(provider, portal, provider.officer())
    assert exchange(records, shown, resource="https://elsewhere.example").json()["error"] == "invalid_target"
    assert exchange(records, shown, resource=f"{provider.issuer}/userinfo").json()["error"] == "invalid_target"
    provider.change_client(replace(records.client, grant_types=("client_credentials",)))
    assert exchange(records, shown).json()["error"] == "unauthorized_client"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"subject_token": None}, "invalid_request"),
        ({"subject_token_type": None}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"}, "invalid_request"),
        ({"subject_token": "a.b.c"}, "invalid_request"),
        ({"actor_token": "a.b.c", "actor_token_type": ACCESS_TOKEN}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"audience": "somebody"}, "invalid_target"),
        ({"scope": "openid profile"}, "invalid_scope"),
    ],
)
def test_what_cannot_be_exchanged_is_refused_and_recorded(
    provider: OidcWorld, changes: dict[str, str | None], error: str
) -> None:
    portal = portal_of(provider)
    records = system(provider, through=(portal,))
    refused = exchange(records, token_of(provider, portal, provider.officer()), **changes)
    assert (refused.status_code, refused.json()["error"]) == (400, error)
    assert refused.json()["error_description"]
    assert [event["reason"] for event in provider.events("oidc.tokens.refused")] == [error]


def test_no_scope_is_added(provider: OidcWorld) -> None:
    portal = portal_of(provider)
    records = system(provider, through=(portal,), scopes=("openid", "email", "profile"))
    shown = token_of(provider, portal, provider.officer(), scope="openid email")
    assert set(exchange(records, shown).json()["scope"].split()) == {"openid", "email"}
    assert exchange(records, shown, scope="email").json()["scope"] == "email"
    few = system(provider, through=(portal,), scopes=("profile",))
    assert "scope" not in exchange(few, shown).json()


def test_sharing_needs_two_factors_whichever_way_the_token_came(provider: OidcWorld) -> None:
    portal = portal_of(provider)
    records = system(provider, through=(portal,), resources=(API, provider.sharing))
    weak = token_of(provider, portal, provider.officer(), methods=("pwd",))
    assert exchange(records, weak, resource=provider.sharing).json()["error"] == "invalid_target"
    assert exchange(records, weak, resource=API).status_code == 200


def test_nobody_acts_for_a_citizen_or_for_a_system(provider: OidcWorld) -> None:
    portal = portal_of(provider)
    records = system(provider, through=(portal,))
    of_citizen = token_of(provider, portal, provider.citizen())
    of_system = portal.ask(grant_type="client_credentials", resource=API).json()["access_token"]
    for shown in (of_citizen, of_system):
        assert exchange(records, shown).json()["error"] == "invalid_request"


@pytest.mark.parametrize("ending", ["expired", "taken back", "suspended", "the other client disabled"])
def test_a_token_that_is_not_good_any_more_is_not_exchanged_nor_is_what_was_made_from_it(
    provider: OidcWorld, ending: str
) -> None:
    portal, officer = portal_of(provider), provider.officer()
    records = system(provider, through=(portal,))
    shown = token_of(provider, portal, officer)
    made = exchange(records, shown).json()["access_token"]
    assert caller_of(provider, made).officer is not None
    if ending == "expired":
        provider.advance(minutes=5, seconds=10)
    elif ending == "taken back":
        assert post(portal, "/revoke", token=shown).status_code == 200
    elif ending == "suspended":
        with provider.gateway.database.write() as session:
            suspend_account(session, officer.account.account_id, at=provider.clock.now())
    else:
        provider.change_client(replace(portal.client, active=False))
    assert exchange(records, shown).json()["error"] == "invalid_request"
    with pytest.raises(TokenRefused):
        caller_of(provider, made)


def test_the_leeway_for_clocks_is_not_lent_on(provider: OidcWorld) -> None:
    portal = portal_of(provider)
    records = system(provider, through=(portal,))
    shown = token_of(provider, portal, provider.officer())
    provider.advance(minutes=4, seconds=59)
    assert exchange(records, shown).json()["expires_in"] == 1
    provider.advance(seconds=1)
    assert exchange(records, shown).json()["error"] == "invalid_request"


def test_a_registration_withdrawn_ends_what_was_exchanged_under_it(provider: OidcWorld) -> None:
    portal = portal_of(provider)
    records = system(provider, through=(portal,))
    made = exchange(records, token_of(provider, portal, provider.officer())).json()["access_token"]
    assert introspect(records, made)["active"] is True
    provider.change_client(replace(records.client, oauth=OAuthSettings()))
    with pytest.raises(TokenRefused):
        caller_of(provider, made)
    # Nor do those who serve other resources hear anything else, and nobody goes on from there.
    assert introspect(records, made) == {"active": False}
    assert exchange(system(provider, through=(records,)), made).json()["error"] == "invalid_request"


def test_who_acts_for_an_officer_learns_nothing_about_them_from_userinfo(provider: OidcWorld) -> None:
    portal, userinfo = portal_of(provider), f"{provider.issuer}/userinfo"
    curious = system(provider, through=(portal,), resources=(userinfo,))
    given = exchange(curious, token_of(provider, portal, provider.officer())).json()
    assert unverified_claims(given["access_token"])["aud"] == userinfo
    assert curious.userinfo(given["access_token"]).status_code == 401


def test_a_chain_names_everybody_in_it_and_has_an_end(provider: OidcWorld) -> None:
    systems = [portal_of(provider)]
    token = token_of(provider, systems[0], provider.officer())
    for _ in range(3):
        systems.append(system(provider, through=(systems[-1],)))
        token = exchange(systems[-1], token).json()["access_token"]
    act, named = unverified_claims(token)["act"], []
    while act is not None:
        named.append(act["sub"])
        act = act.get("act")
    assert named == [each.client.client_id for each in reversed(systems)]
    assert caller_of(provider, token).officer is not None
    too_long = exchange(system(provider, through=(systems[-1],)), token)
    assert too_long.json()["error"] == "invalid_request"


def test_the_new_token_is_bound_to_the_key_of_the_system_that_asked(provider: OidcWorld) -> None:
    portal, key = portal_of(provider), PrivateKeySigner.generate("ES256")
    records = system(provider, through=(portal,))
    shown = token_of(provider, portal, provider.officer())
    answer = with_proof(records, key, grant_type=EXCHANGE, subject_token=shown, subject_token_type=ACCESS_TOKEN).json()
    assert answer["token_type"] == "DPoP"
    told = introspect(records, answer["access_token"])
    assert told["cnf"] == {"jkt": key.key_id}
    assert told["act"]["sub"] == records.client.client_id
    with pytest.raises(TokenRefused):
        caller_of(provider, answer["access_token"])


def test_a_token_bound_to_a_key_is_not_turned_into_one_that_anybody_can_use(provider: OidcWorld) -> None:
    portal, key = portal_of(provider), PrivateKeySigner.generate("ES256")
    records = system(provider, through=(portal,))
    code, verifier = portal.code(provider.signed_in(provider.officer()), resource=API)
    redirect_uri = portal.client.redirect_uris[0]
    redemption = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
    bound = with_proof(portal, key, redirect_uri=redirect_uri, **redemption).json()
    assert bound["token_type"] == "DPoP"
    refused = exchange(records, bound["access_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    asked = {"grant_type": EXCHANGE, "subject_token": bound["access_token"], "subject_token_type": ACCESS_TOKEN}
    # Bound to the key of the system that asks, which is another one.
    given = with_proof(records, PrivateKeySigner.generate("ES256"), **asked).json()
    assert given["token_type"] == "DPoP"


def test_no_token_can_be_read_by_the_servers_of_two_members(provider: OidcWorld) -> None:
    others = "https://other.council.example/v1"
    portal = provider.relying_party(resources=(API, others, provider.sharing))
    browser = provider.signed_in(provider.officer())
    code, verifier = portal.code(browser, resource=[API, others])
    refused = portal.redeem(code, verifier)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_target")
    # The code is as good as before for one of them, and one may stand beside the gateway's own.
    assert unverified_claims(portal.redeem(code, verifier, resource=API).json()["access_token"])["aud"] == API
    code, verifier = portal.code(browser, resource=[others, provider.sharing])
    assert portal.redeem(code, verifier).status_code == 200
