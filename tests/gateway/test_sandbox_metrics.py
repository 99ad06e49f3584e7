"""The numbers of a sandbox, of its own route and of Prometheus, with kernels of the small driver.
Those of the code cache are in tests/e2e/test_stream_commands.py."""

from __future__ import annotations

from gateway.test_executions import Box
from gateway.test_sandboxes import NOBODY, Place, create, remove
from gateway.test_tokens import mint
from support.gateway import Gateway


def prometheus(gateway: Gateway) -> dict[str, float]:
    lines = gateway.get("/metrics").body.decode().splitlines()
    pairs = [line.rpartition(" ") for line in lines if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in pairs}


def test_the_numbers_of_a_sandbox(place: Place) -> None:
    gateway = place[0]
    before = prometheus(gateway)
    box = Box(gateway, create(gateway))
    path = f"/v1/sandboxes/{box.model['id']}/metrics"
    fresh = gateway.get(path).json()
    assert fresh["sandbox_id"] == box.model["id"]
    assert fresh["since"] == box.model["created"]
    assert fresh["usage"]["memory_bytes"] == 1000
    assert fresh["executions"]["run_ms"]["p50"] is None
    assert (fresh["executions"]["ended"], fresh["executions"]["by_status"]) == (0, {})
    records = [box.run("print hello") for _ in range(3)]
    box.run("fail now")
    open_one = box.detach("input x")
    box.until(open_one, awaits_input=True)
    found = gateway.get(path).json()
    numbers = found["executions"]
    assert (numbers["open"], numbers["ended"]) == (1, 4)
    assert numbers["by_status"] == {"ok": 3, "error": 1}
    assert numbers["output_bytes"] > 18 and found["commands"] == {"running": 0}
    run = numbers["run_ms"]
    assert (run["count"], numbers["queue_ms"]["count"]) == (4, 4)
    assert run["sum"] >= sum(record["run_ms"] for record in records) - 0.01
    assert 0 <= run["p50"] <= run["p90"] <= run["p99"] <= run["max"] <= run["sum"]
    assert sum(one["count"] for one in run["buckets"]) == 4
    bounds = [one["most"] for one in run["buckets"]]
    assert bounds[:-1] == sorted(bounds[:-1]) and bounds[-1] is None
    # its driver says nothing of a code cache
    nothing = {"cached_compilations": 0, "bytes": 0, "hits": 0, "misses": 0, "hit_ratio": None}
    assert found["code_cache"] == nothing
    contexts = gateway.get(f"/v1/sandboxes/{box.model['id']}").json()["contexts"]
    assert [one["code_cache"] for one in contexts] == [None]
    after = prometheus(gateway)
    assert after['warmcell_executions_total{status="ok"}'] == (
        before['warmcell_executions_total{status="ok"}'] + 3
    )
    name = "warmcell_execution_run_seconds"
    assert after[f'{name}_bucket{{le="+Inf"}}'] == after[f"{name}_count"]
    assert after[f"{name}_count"] == before[f"{name}_count"] + 4
    buckets = [value for key, value in after.items() if key.startswith(f"{name}_bucket")]
    assert buckets == sorted(buckets)
    assert not any("execution" in key and box.model["id"] in key for key in after)
    box.ask(open_one, "input", {"value": "v"})
    box.ended(open_one)
    remove(gateway, box.model)
    assert gateway.get(path).status == 404


def test_who_may_see_them(place: Place) -> None:
    gateway = place[0]
    made = create(gateway)
    _, ada = mint(gateway, principal="ada")
    assert ada.get(f"/v1/sandboxes/{made['id']}/metrics").status == 404
    assert gateway.get(f"/v1/sandboxes/{NOBODY}/metrics").status == 404
    remove(gateway, made)
