"""Templates compiled once in a test run's process, however many applications render them."""

from jinja2 import BytecodeCache
from jinja2.bccache import Bucket


class CompiledTemplates(BytecodeCache):
    """What Jinja compiled, by template, by its source, and by whatever of its environment has a say in compiling.

    A template that a test changed is another source, and is compiled anew.
    """

    def __init__(self) -> None:
        self._compiled: dict[tuple[object, ...], bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give what is there; Jinja compiles where nothing is."""
        compiled = self._compiled.get(_key(bucket))
        if compiled is not None:
            bucket.bytecode_from_string(compiled)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what was compiled."""
        self._compiled[_key(bucket)] = bucket.bytecode_to_string()


def _key(bucket: Bucket) -> tuple[object, ...]:
    environment = bucket.environment
    rules = type(environment), environment.autoescape, environment.is_async, frozenset(environment.extensions)
    return bucket.key, bucket.checksum, *rules
