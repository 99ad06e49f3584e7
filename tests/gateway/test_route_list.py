"""tests/gateway/routes.toml has a test for every route of the native API and its statuses."""

from __future__ import annotations

from support.contract import Contract
from support.gateway import Gateway
from support.route_list import native, problems


def test_every_route_has_its_tests(gateway: Gateway) -> None:
    contract = Contract(gateway)
    assert len(native(contract)) > 80
    assert not problems(contract)
