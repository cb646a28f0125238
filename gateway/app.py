"""The composition root: everything is put together here, once, and every door stands in one table beside its guard."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from uuid import UUID

from flask import Blueprint, Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from gateway.audit import views as log_views
from gateway.audit.append import AuditLog
from gateway.audit.commands import AuditContext
from gateway.audit.keeping.classes import Retention, periods_with
from gateway.audit.log_keys import LogKeys
from gateway.audit.merge_delay import MergeDelay
from gateway.audit.sequencer import Sequencer
from gateway.audit.subject_keys import SubjectKeys
from gateway.audit.witnesses import Witnesses, load_policy
from gateway.clock import Clock, SystemClock
from gateway.db import Database
from gateway.directory.members import Jwk, find_client
from gateway.errors import GatewayError, SettingsError, Unavailable
from gateway.identity import views as identity_views
from gateway.identity.accounts import AccountKind, find_account_by_email
from gateway.identity.keys import load_identity_keys
from gateway.identity.passwords import Passwords
from gateway.identity.people import People, assemble_people
from gateway.migrate import is_current
from gateway.oidc import views as oidc_views
from gateway.oidc.clients.certificates import ClientCertificates, load_authorities
from gateway.oidc.doors import install_dpop_nonces
from gateway.oidc.logout import views as logout_views
from gateway.oidc.logout.back_channel import KIND as BACK_CHANNEL_LOGOUT
from gateway.oidc.logout.back_channel import BackChannel
from gateway.oidc.logout.consequences import LogoutConsequences
from gateway.oidc.logout.requests import LogoutTickets
from gateway.oidc.logout.signing_out import SigningOut
from gateway.oidc.provider import OpenIDProvider, assemble_provider
from gateway.openapi import views as openapi_views
from gateway.openapi.document import describe
from gateway.outbox.courier import Courier
from gateway.outgoing.circuits import Circuits, Places
from gateway.outgoing.http_client import HttpClient
from gateway.pages import views as page_views
from gateway.pages.views import PageTools
from gateway.policy.engine import PolicyEngine
from gateway.settings import Settings
from gateway.sharing import views as sharing_views
from gateway.sharing.exchange import views as exchange_views
from gateway.sharing.exchange.asking import Asker
from gateway.sharing.exchange.documents.attachments import Collector
from gateway.sharing.exchange.documents.releasing import Releases
from gateway.sharing.exchange.documents.spool import Spool
from gateway.sharing.exchange.exchange import Broker
from gateway.sharing.exchange.limits.quotas import Quotas
from gateway.sharing.exchange.listing import find_exchange
from gateway.sharing.exchange.outcomes import Registrar, receipt_of
from gateway.sharing.exchange.people.subjects import Translator
from gateway.sharing.exchange.provider_call import Line
from gateway.sharing.exchange.retry import RetryKeys
from gateway.sharing.exchange.views import ExchangeDoor
from gateway.sharing.views import sharing_resource
from gateway.signing.keeping import open_keeping
from gateway.signing.key_files import Keeping
from gateway.signing.purposes import Purpose
from gateway.signing.schedule import KeySchedule
from gateway.signing.secret_files import load_or_make_secret
from gateway.signing.signing_keys import SigningKeys
from gateway.web import health
from gateway.web.alerts import Alerts
from gateway.web.client_certificates import with_client_certificate
from gateway.web.forms import install_forms
from gateway.web.headers import install_headers
from gateway.web.logs import install_request_log
from gateway.web.mutual_tls import MutualTls
from gateway.web.pages import install_pages
from gateway.web.problems import install_problems
from gateway.web.proxies import believing_proxies
from gateway.wire.notes import VerifierKey
from gateway.wire.trust_policy import TrustPolicy

MAX_FORM_BYTES = 64 * 1024

Guard = Callable[[], None]


def everyone() -> None:
    """Guard of the doors that are open to all, or that authenticate inside, as their protocol says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The parts of one gateway, assembled; nothing is connected or read from the database yet."""

    settings: Settings
    clock: Clock
    database: Database
    signing: SigningKeys
    keeping: Keeping
    audit: AuditLog
    people: People
    policy: PolicyEngine
    provider: OpenIDProvider
    registrar: Registrar
    quotas: Quotas
    broker: Broker
    releases: Releases
    spool: Spool
    retention: Mapping[Retention, timedelta | None]
    session_secret: bytes = field(repr=False)
    witness_policy: TrustPolicy | None = None
    alerts: Alerts = field(default_factory=Alerts)
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when this process was told that it will have to stop soon."""

    @property
    def log_keys(self) -> LogKeys:
        """The keys that sign the log's checkpoints, and those that did."""
        return self.signing.log_keys(self.settings.log_origin)

    @property
    def log_key(self) -> VerifierKey:
        """The public key with which outsiders verify the log's checkpoints: the newest, where there are several."""
        return self.log_keys.newest

    def key_schedule(self) -> KeySchedule:
        """Return what rotates the keys of the tokens, and sets aside what is over."""
        return KeySchedule(
            keys_dir=self.settings.keys_dir,
            keeping=self.keeping,
            database=self.database,
            audit=self.audit,
            clock=self.clock,
            rotation_days=self.settings.key_rotation_days,
        )

    def sequencer(self) -> Sequencer:
        """Return what numbers and publishes the log."""
        return Sequencer(
            self.database,
            log_dir=self.settings.log_dir,
            keys=self.log_keys,
            clock=self.clock,
            witnesses=self._witnesses(),
        )

    def _witnesses(self) -> Witnesses | None:
        if self.witness_policy is None:
            return None
        return Witnesses(
            self.witness_policy,
            http=_outgoing(self.settings),
            timeout=self.settings.witness_timeout,
            audit=self.audit,
            alerts=self.alerts,
            clock=self.clock,
        )

    def signing_out(self) -> SigningOut:
        """Return what ends sessions at browsers and for relying parties."""
        return SigningOut(
            issuer=self.settings.issuer,
            database=self.database,
            audit=self.audit,
            people=self.people,
            tickets=LogoutTickets(self.session_secret),
            keys=self.signing,
            clock=self.clock,
            sandbox=self.settings.sandbox,
        )

    def courier(self) -> Courier:
        """Return what delivers the outbox: every kind of delivery beside its handler."""
        back_channel = BackChannel(
            issuer=self.settings.issuer,
            database=self.database,
            http=_outgoing(self.settings),
            keys=self.signing,
            clock=self.clock,
        )
        return Courier(
            database=self.database,
            audit=self.audit,
            alerts=self.alerts,
            clock=self.clock,
            handlers={BACK_CHANNEL_LOGOUT: back_channel.deliver},
            stopping=self.stopping,
        )

    def outgoing(self) -> HttpClient:
        """Return the way out: to addresses of clients, for what is asked of them now."""
        return _outgoing(self.settings)

    def merge_delay(self) -> MergeDelay:
        """Return what watches, for one process, whether the log is published as soon as was promised."""
        return MergeDelay(
            self.database,
            log_dir=self.settings.log_dir,
            clock=self.clock,
            seconds=self.settings.merge_delay,
        )

    def audit_context(self) -> AuditContext:
        """Return what the `gateway audit` commands work with."""
        return AuditContext(
            database=self.database,
            log_dir=self.settings.log_dir,
            log_keys=self.log_keys,
            clock=self.clock,
            receipt_of=_receipt_of,
            audit_log=self.audit,
            find_subject=self._find_subject,
            merge_delay=self.settings.merge_delay,
            private_dirs=(self.settings.keys_dir, self.settings.subject_keys_dir),
        )

    def _find_subject(self, session: Session, kind: str, value: str) -> str | None:
        """Return the opaque reference of a person by an account's address or by an exchange, or None."""
        if kind == "exchange":
            return _subject_of_exchange(session, value)
        account = find_account_by_email(session, AccountKind(kind), value)
        return self.people.references.reference_of_account(account.account_id) if account is not None else None


def assemble(settings: Settings, *, clock: Clock | None = None, passwords: Passwords | None = None) -> Gateway:
    """Put a gateway together from its settings; raises `SigningKeyMissing` or `PolicyInvalid` when it cannot be.

    `passwords` is for a program whose accounts are all invented: no setting weakens what a password costs to guess.
    """
    clock = clock or SystemClock()
    database = Database(settings.database_url, timeout=settings.database_timeout, pool_size=settings.threads)
    keeping = open_keeping(settings)
    signing = SigningKeys.load(settings.keys_dir, keeping, clock=clock)
    audit = AuditLog(database=database, subject_keys=SubjectKeys(settings.subject_keys_dir))
    people = assemble_people(
        database=database,
        audit=audit,
        keys=load_identity_keys(settings.keys_dir, keeping.lock),
        secure_cookies=settings.secure_cookies,
        consequences=LogoutConsequences(),
        passwords=passwords,
    )
    policy = PolicyEngine.load(settings.policies_dir)
    retry_keys = RetryKeys(load_or_make_secret(settings.keys_dir / "retry.key", keeping.lock))
    exchange_signer = partial(signing.current, Purpose.EXCHANGE)  # asked anew for every signature: keys rotate
    spool = Spool(settings.spool_dir, retry_keys)
    registrar = Registrar(
        audit=audit, signer=exchange_signer, issuer=settings.issuer, retry_keys=retry_keys, spool=spool
    )
    http = _outgoing(settings)
    alerts = Alerts()
    quotas = Quotas(
        database=database,
        member_per_minute=settings.member_requests_per_minute,
        agreement_per_minute=settings.agreement_requests_per_minute,
    )
    broker = Broker(
        database=database,
        audit=audit,
        policy=policy,
        registrar=registrar,
        translator=Translator(pairwise=people.pairwise, references=people.references),
        retry_keys=retry_keys,
        asker=Asker(
            line=Line(
                http=http,
                signer=exchange_signer,
                issuer=settings.issuer,
                clock=clock,
                keys_now=partial(_keys_now, database),
            ),
            circuits=Circuits(failures=settings.provider_failures, seconds=settings.provider_pause),
            places=Places(most=settings.provider_places),
            alerts=alerts,
            timeout=settings.provider_timeout,
            collector=Collector(http=http, signer=exchange_signer, issuer=settings.issuer, clock=clock, spool=spool),
        ),
        clock=clock,
        lease=settings.exchange_lease,
        quotas=quotas,
    )
    releases = Releases(
        database=database,
        audit=audit,
        registrar=registrar,
        broker=broker,
        retry_keys=retry_keys,
        spool=spool,
        clock=clock,
    )
    provider = assemble_provider(
        issuer=settings.issuer,
        sharing_resource=sharing_resource(settings.issuer),
        database=database,
        audit=audit,
        people=people,
        signing=signing,
        clock=clock,
        http=_outgoing(settings),
        ticket_key=load_or_make_secret(settings.keys_dir / "tickets.key", keeping.lock),
        sandbox=settings.sandbox,
        client_secret_key=load_or_make_secret(settings.keys_dir / "client-secrets.key", keeping.lock),
        dpop_nonce_key=load_or_make_secret(settings.keys_dir / "dpop-nonces.key", keeping.lock)
        if settings.dpop_nonce
        else None,
        mtls=settings.mtls_address,
        client_certificates=_client_certificates(settings),
    )
    return Gateway(
        settings=settings,
        clock=clock,
        database=database,
        signing=signing,
        keeping=keeping,
        audit=audit,
        people=people,
        policy=policy,
        provider=provider,
        registrar=registrar,
        quotas=quotas,
        broker=broker,
        releases=releases,
        spool=spool,
        retention=periods_with(settings.retention),
        alerts=alerts,
        session_secret=load_or_make_secret(settings.keys_dir / "forms.key", keeping.lock),
        witness_policy=load_policy(settings.witness_policy) if settings.witness_policy is not None else None,
    )


def _keys_now(database: Database, client_id: str) -> tuple[Jwk, ...]:
    """Return the keys of a client as they are registered at this moment: none where it is not active."""
    with database.read() as session:
        client = find_client(session, client_id)
    return client.keys if client is not None else ()


def check_files_and_classes(settings: Settings) -> None:
    """Refuse settings that can only be judged by what they name; raises `SettingsError`."""
    periods_with(settings.retention)
    if settings.witness_policy is not None:
        load_policy(settings.witness_policy)
    _client_certificates(settings)
    _outgoing(settings)


def _client_certificates(settings: Settings) -> ClientCertificates | None:
    if not settings.mutual_tls:
        return None
    return ClientCertificates(authorities=load_authorities(settings.client_certificate_authorities))


def _outgoing(settings: Settings) -> HttpClient:
    try:
        return HttpClient(
            allow_loopback=settings.outgoing_allow_loopback,
            ca_file=settings.outgoing_ca_file,
            allow_plain_http=settings.unsafe_allow_plain_http,
        )
    except OSError as error:
        raise SettingsError(
            "GATEWAY_OUTGOING_CA_FILE names a file that cannot be read as PEM certificates.", detail=str(error)
        ) from error


def doors(gateway: Gateway) -> tuple[tuple[Blueprint, Guard], ...]:
    """Return the table of doors: every blueprint beside its guard, the public ones included."""
    settings = gateway.settings
    merge_delay = gateway.merge_delay()
    tools = PageTools(
        database=gateway.database,
        audit=gateway.audit,
        people=gateway.people,
        clock=gateway.clock,
        registers=gateway.policy.registers,
        log_dir=settings.log_dir,
        log_keys=gateway.log_keys,
        check_published=merge_delay.check_lately,
    )
    exchange = ExchangeDoor(
        broker=gateway.broker,
        quotas=gateway.quotas,
        database=gateway.database,
        caller_from_request=gateway.provider.caller_from_request,
        account_for=_account_for(gateway),
        signer=partial(gateway.signing.current, Purpose.EXCHANGE),
        clock=gateway.clock,
        issuer=settings.issuer,
        mtls=settings.mtls_address,
        releases=gateway.releases,
        check_published=merge_delay.check_lately,
    )
    sharing_documents = sharing_views.blueprint(
        database=gateway.database,
        issuer=settings.issuer,
        mtls=settings.mtls_address,
        gateway_jwks=partial(gateway.signing.public_jwks, Purpose.EXCHANGE),
        log_vkey=gateway.log_key.encode(),
    )
    sign_in = identity_views.blueprint(
        people=gateway.people,
        database=gateway.database,
        clock=gateway.clock,
        interrupted=gateway.provider.interrupted,
    )
    description = partial(
        describe,
        endpoints=gateway.provider.endpoints,
        session_cookie=gateway.people.cookie.name,
        registers=gateway.policy.registers,
    )
    readiness = {
        "database": lambda: _check_database(gateway),
        "migrations": lambda: _check_migrated(gateway),
        "log": merge_delay.check,
    }
    return (
        (health.blueprint(readiness, stopping=gateway.stopping.is_set), everyone),
        (page_views.home_blueprint(tools), everyone),
        (log_views.blueprint(settings.log_dir), everyone),
        (oidc_views.blueprint(gateway.provider, check_published=merge_delay.check_lately), everyone),
        (sign_in, everyone),
        (logout_views.blueprint(gateway.signing_out()), everyone),
        (sharing_documents, everyone),
        (openapi_views.blueprint(description), everyone),
        (exchange_views.blueprint(exchange), everyone),
        (page_views.auditor_blueprint(tools), page_views.auditor_guard(tools)),
    )


def create_app(gateway: Gateway) -> Flask:
    """Return the web application of one gateway."""
    settings = gateway.settings
    app = Flask("gateway", static_folder=None)
    app.secret_key = gateway.session_secret
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_FORM_BYTES,
        SESSION_COOKIE_NAME="__Host-gateway-forms" if settings.secure_cookies else "gateway-forms-insecure",
        SESSION_COOKIE_SECURE=settings.secure_cookies,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        # The Referer that flask-wtf would compare is not sent, by our own Referrer-Policy; tokens are what is checked.
        WTF_CSRF_SSL_STRICT=False,
    )
    install_request_log(app)
    install_headers(app, https=settings.secure_cookies)
    install_problems(app)
    install_pages(app, demonstration=settings.demonstration)
    install_forms(app)
    # For the web server's worker, which hears the signal.
    app.extensions["gateway.stopping"] = gateway.stopping
    # The certificate is taken from the peer itself, so outside of what looks for the visitor behind the proxies.
    app.wsgi_app = with_client_certificate(  # type: ignore[assignment, method-assign]
        believing_proxies(app.wsgi_app, settings.trusted_proxies),
        header=settings.client_certificate_header,
        proxies=settings.trusted_proxies,
    )
    app.extensions["gateway.mutual_tls"] = _mutual_tls(gateway)
    install_dpop_nonces(app, gateway.provider.possession.nonces, gateway.clock)
    for blueprint, guard in doors(gateway):
        blueprint.before_request(guard)
        app.register_blueprint(blueprint)
    return app


def _mutual_tls(gateway: Gateway) -> MutualTls | None:
    settings = gateway.settings
    if settings.mtls_listen is None or settings.tls_certificate is None or settings.tls_key is None:
        return None
    return MutualTls(
        listen=settings.mtls_listen,
        certificate=settings.tls_certificate,
        key=settings.tls_key,
        authorities=settings.client_certificate_authorities,
        registered=gateway.provider.registered_certificates,
    )


def _account_for(gateway: Gateway) -> Callable[[GatewayError, str], None]:
    resource = sharing_resource(gateway.settings.issuer)

    def account_for(error: GatewayError, source: str) -> None:
        gateway.provider.account_for_refused(error, resource=resource, source=source)

    return account_for


def _check_database(gateway: Gateway) -> None:
    with gateway.database.read() as session:
        session.execute(text("SELECT 1"))


def _check_migrated(gateway: Gateway) -> None:
    if not is_current(gateway.database):
        raise Unavailable("The database is not at the newest migration.")


def _subject_of_exchange(session: Session, exchange: str) -> str | None:
    try:
        found = find_exchange(session, UUID(exchange))
    except ValueError:
        return None
    return found.subject if found is not None else None


def _receipt_of(session: Session, exchange: str) -> str | None:
    try:
        return receipt_of(session, UUID(exchange))
    except ValueError:
        return None
