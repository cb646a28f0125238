"""The main journey, walked over real HTTP as people would: each step says what was proved, and fails loudly if not."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pyotp
import requests

from gateway.audit.checking.sources import HttpSource
from gateway.audit.checking.verify import verify_log
from gateway.clock import SystemClock
from gateway.demo.browser import Browser, PageRefused
from gateway.demo.errands import BLUE_BADGE, FREE_SCHOOL_MEALS, HOLIDAY_ACTIVITIES, VULNERABILITY, Errand
from gateway.demo.layout import Layout
from gateway.demo.people import PEOPLE
from gateway.demo.world import DemoAccount
from gateway.errors import GatewayError
from gateway.sdk.verify import verify

EXCHANGES = "/auditor/exchanges"
CODE_SECONDS = 30
PUBLISHED_WITHIN = 15.0
HTTP_OK = 200

Say = Callable[[str], None]


class StepFailed(Exception):
    """A step did not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """One walk through the demonstration."""

    layout: Layout
    accounts: Mapping[str, DemoAccount]
    public_keys: Path
    say: Say
    ca_file: Path | None = None

    def run(self) -> bool:
        """Walk every step; tells whether all held. The first that does not ends the walk."""
        officer, auditor = Browser(ca_file=self.ca_file), Browser(ca_file=self.ca_file)
        try:
            with self._step("discovery"):
                self.say(self._discover())
            with self._step("sign-in"):
                self.say(self._officer_signs_in(officer))
            with self._step("a record"):
                self.say(self._ask_covered(officer))
            with self._step("a check"):
                self.say(self._ask_checks(officer))
            with self._step("a refusal"):
                self.say(self._ask_uncovered(officer))
            with self._step("an agreement that is over"):
                self.say(self._ask_when_over(officer))
            with self._step("the auditor"):
                proofs, told = self._auditor_looks(auditor)
                self.say(told)
            with self._step("the log"):
                self.say(self._verify_log())
            with self._step("the proofs"):
                for path in proofs:
                    self.say(self._verify_proof(path))
        except StepFailed as failure:
            self.say(f"FAILED  {failure}")
            return False
        return True

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        try:
            yield
        except (PageRefused, GatewayError, requests.RequestException, LookupError, ValueError) as error:
            raise StepFailed(f"{name}: {error}") from error

    def _discover(self) -> str:
        issuer = self.layout.gateway
        verify_tls: str | bool = str(self.ca_file) if self.ca_file else True
        answer = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=10, verify=verify_tls)
        metadata = answer.json()
        _require(answer.status_code == HTTP_OK and metadata["issuer"] == issuer, "discovery names another issuer")
        _require(metadata["code_challenge_methods_supported"] == ["S256"], "PKCE S256 is not required")
        _require("private_key_jwt" in metadata["token_endpoint_auth_methods_supported"], "no private_key_jwt")
        return f"ok  discovery: {issuer} speaks OpenID Connect (code flow, PKCE S256, private_key_jwt)"

    def _officer_signs_in(self, browser: Browser) -> str:
        browser.open(f"{self.layout.portal}/sign-in")
        self._sign_in(browser, "officer")
        _require(browser.address.startswith(self.layout.portal), "the browser did not come back to the portal")
        _require("Benefits officer" in browser.text and "AAL2" in browser.text, "the portal does not know the officer")
        return "ok  sign-in: the officer signed in at the gateway (password, code) and came back with their roles, AAL2"

    def _ask_covered(self, browser: Browser) -> str:
        text = self._ask(browser, FREE_SCHOOL_MEALS, ["eligible", "tier"])
        _require("The department’s answer" in text, "the question was not answered")
        for proof in (
            "the gateway signed this answer",
            "dwp signed these facts",
            "the fields are those the receipt names",
        ):
            _require(proof in text, f"not verified: {proof}")
        _require("targeted" in text and str(PEOPLE[0].award_amount) not in text, "not the fields that were asked for")
        return (
            "ok  record: eligible = Yes, tier = targeted and nothing else; "
            "the department's signature, the gateway's and the receipt verify"
        )

    def _ask_checks(self, browser: Browser) -> str:
        text = self._ask(browser, BLUE_BADGE, ["moving_around", "planning_a_journey"])
        _require("The department’s answer" in text, "the check was not answered")
        enough, exactly = (_after(text, BLUE_BADGE.labels[name]) for name in ("moving_around", "planning_a_journey"))
        _require((enough, exactly) == ("Yes", "No"), "the checks came out otherwise")
        return (
            "ok  check: a Blue Badge rule is met = Yes, another = No, computed by the gateway; "
            "neither points nor thresholds reached the council"
        )

    def _ask_when_over(self, browser: Browser) -> str:
        for errand, code in ((VULNERABILITY, "agreement_expired"), (HOLIDAY_ACTIVITIES, "agreement_suspended")):
            text = self._ask(browser, errand, [errand.covered[0][0]])
            _require("The question was refused" in text and code in text, f"not refused with {code}")
        return "ok  refusal: one agreement has expired, another is suspended; nothing is asked under either"

    def _ask_uncovered(self, browser: Browser) -> str:
        text = self._ask(browser, FREE_SCHOOL_MEALS, ["eligible", "award_amount"])
        _require("The question was refused" in text and "field_not_covered" in text, "the question was not refused")
        _require("the receipt is the gateway's" in text, "the refusal has no receipt")
        return (
            "ok  refusal: award_amount is not covered by the agreement (field_not_covered); "
            "the refusal has a signed receipt"
        )

    def _auditor_looks(self, browser: Browser) -> tuple[list[Path], str]:
        browser.open(f"{self.layout.gateway}/sign-in?next={EXCHANGES}")
        self._sign_in(browser, "auditor")
        _require(EXCHANGES in browser.address, "the auditor did not reach the exchanges")
        found = [self._latest(browser, outcome) for outcome in ("disclosed", "refused")]
        paths = [self._download_proof(browser, exchange) for exchange in found]
        return (
            paths,
            "ok  auditor: saw both exchanges with officer, member, purpose, decision and rules; downloaded both proofs",
        )

    def _verify_log(self) -> str:
        keys = json.loads(self.public_keys.read_text(encoding="utf-8"))
        source = HttpSource(f"{self.layout.gateway}/log", ca_file=self.ca_file)
        verified = verify_log(source, vkey=keys["log_vkey"])
        return f"ok  log: all {verified.size} entries, every tile and the signed root verify, read over HTTP"

    def _verify_proof(self, path: Path) -> str:
        verdict = verify(path, self.public_keys)
        return f"ok  proof: the {verdict.receipt.outcome} exchange is in the log ({path}, checked offline)"

    def _ask(self, browser: Browser, errand: Errand, fields: list[str]) -> str:
        person = PEOPLE[0]
        browser.open(f"{self.layout.portal}/ask/{errand.slug}")
        return browser.submit(
            {
                "family_name": person.family_name,
                "birthdate": [str(person.birthdate.day), str(person.birthdate.month), str(person.birthdate.year)],
                "nino": person.nino,
                "case_reference": "FSM/2026/00017",
                "fields": fields,
            }
        )

    def _sign_in(self, browser: Browser, key: str) -> None:
        account = self.accounts[key]
        browser.submit({"email": account.email, "password": account.password})
        code = pyotp.TOTP(account.code_secret)
        for steps_ahead in (0, 1, 1):
            # A code works once. After another walk in this half minute the next code is taken early, as a telephone
            # whose clock is fast would show it; after a third, time has to pass.
            now = SystemClock().now()
            browser.submit({"code": code.at(now, counter_offset=steps_ahead)})
            if "/sign-in/code" not in browser.address:
                return
            if steps_ahead:
                wait = CODE_SECONDS - now.timestamp() % CODE_SECONDS + 0.5
                self.say(f"    these security codes were used already; the next one comes in {wait:.0f} seconds")
                time.sleep(wait)
        raise StepFailed("sign-in: the security code was not accepted")

    def _latest(self, browser: Browser, outcome: str) -> str:
        """Return the newest exchange with this outcome, from the links of the auditor's list."""
        browser.open(f"{self.layout.gateway}{EXCHANGES}?outcome={outcome}")
        link = next(link for link in browser.links if link.startswith(f"{EXCHANGES}/"))
        return urlsplit(link).path.rpartition("/")[2]

    def _download_proof(self, browser: Browser, exchange: str) -> Path:
        deadline = time.monotonic() + PUBLISHED_WITHIN
        address = f"{self.layout.gateway}{EXCHANGES}/{exchange}/proof.json"
        while True:
            try:
                content = browser.download(address)
            except requests.RequestException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.3)  # the log publishes within moments; until then there is no proof
            else:
                path = self.layout.world_dir / f"proof-{exchange}.json"
                path.write_bytes(content)
                return path


def _after(text: str, label: str) -> str:
    """Return the line of a page's words that follows this one."""
    lines = text.splitlines()
    return lines[lines.index(label) + 1]


def _require(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - the condition is the argument
    if not holds:
        raise StepFailed(otherwise)
