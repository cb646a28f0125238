"""The names that both sides of the wire must spell alike: tags of message signatures and types of signed objects."""

EXCHANGE_TAG = "gateway-exchange"
"""RFC 9421 `tag` of a consumer's request to the gateway and of the gateway's answer."""

PROVIDER_TAG = "gateway-provider"
"""RFC 9421 `tag` of the gateway's request to a provider and of the provider's answer."""

RECORD_TYP = "gateway-record+sd-jwt"
"""`typ` of the SD-JWT with which a provider answers."""

CHECK_TYP = "gateway-check+sd-jwt"
"""`typ` of the SD-JWT in which the gateway states checks that it computed."""

AGREEMENT_TYP = "gateway-agreement+jws"
"""`typ` of a member's detached JWS over the canonical JSON of an agreement."""

CHECK_NOT_COMPUTED = "check_not_computed"
"""The code for a check whose expression gives nothing for a person's values, or not what was agreed."""

RECORD_UNUSABLE = "record_unusable"
"""A provider's code for a person whose data it cannot answer with: they are not what the service says."""

NO_RECORD = "no_record"
"""The one code for every reason that lies in the person asked about: unknown, ambiguous, withheld."""

MAX_REQUEST_BYTES = 64 * 1024
"""No request for a record is larger than this."""
