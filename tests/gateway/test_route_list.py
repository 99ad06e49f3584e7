"""tests/gateway/routes.toml has a test for every route of the native API and its statuses."""

from __future__ import annotations

from support.contract import Contract
from support.gateway import Gateway
from support.route_list import listed, native, problems, rows


def test_every_route_has_its_tests(gateway: Gateway) -> None:
    assert not problems(Contract(gateway))


def test_what_the_list_may_not_leave_out(gateway: Gateway) -> None:
    """A client can bring all of these about: success, and its own faults."""
    contract = Contract(gateway)
    assert len(native(contract)) > 80
    for operation in native(contract):
        shown = rows(listed(), operation).keys()
        for status in operation.responses & {"200", "201", "204", "400", "401", "403", "404"}:
            assert status in shown, (operation, status)
