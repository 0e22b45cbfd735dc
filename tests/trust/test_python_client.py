"""The tests of the Python client, which stand beside it in deploy/ where its users find them."""

import schema


def load_tests(loader, _tests, _pattern):
    """Those tests, once the stubs are there."""
    assert schema.v1
    return loader.loadTestsFromName("test_gleand_client")
