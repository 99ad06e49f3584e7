"""Principals share no keeper, and so no fork server, unless the administrator says so."""

from __future__ import annotations

from gateway.test_sandboxes import Place, create, end, remove, start
from gateway.test_tokens import mint
from support import processes
from support.fake_keeper import FakeKeeper


def keepers(keeper: FakeKeeper) -> dict[str, str]:
    """The sandboxes' keepers that were started: uids by name, "" for the owner's."""
    found = {}
    for words in keeper.commands():
        options = dict(zip(words[::2], words[1::2], strict=False))
        if options.get("--profile") == "sandbox":
            name = options["--socket"].rsplit("/", 1)[1].removesuffix(".sock")
            found[name] = options.get("--uids", "")
    return found


def begin(*options: str) -> Place:
    gateway, keeper = start("--pool-max", "0", *options)
    remove(gateway, create(gateway))
    return gateway, keeper


def test_each_principal_has_a_keeper_of_their_own() -> None:
    gateway, keeper = begin("--lease", "1")
    (owners,) = keepers(keeper)
    _, ada = mint(gateway, principal="ada")
    _, bob = mint(gateway, principal="bob")
    made = [create(seen) for seen in (ada, bob, ada)]
    found = keepers(keeper)
    assert len(found) == 3 and found.pop(owners) == ""
    uids = [tuple(map(int, one.split("-"))) for one in found.values()]
    assert all(last - first == 1023 for first, last in uids)
    assert uids[0] != uids[1] and min(uids)[0] > 765535
    assert all(one["confinement"]["profile"] == "sandbox" for one in made)
    _, *others = keeper.pids()
    for seen, one in zip((ada, bob, ada), made, strict=True):
        remove(seen, one)
    assert not processes.wait_gone(others)  # nothing needs them
    remove(ada, create(ada))
    assert len(keeper.commands()) == 4
    end(gateway, keeper)


def test_one_keeper_where_the_administrator_shares_it() -> None:
    gateway, keeper = begin("--share-templates")
    _, ada = mint(gateway, principal="ada")
    remove(ada, create(ada))
    assert len(keepers(keeper)) == 1
    end(gateway, keeper)


def test_the_pool_is_the_owners() -> None:
    gateway, keeper = start("--pool-min", "1", "--pool-max", "1")
    processes.until(
        lambda: 'warmcell_pool_ready{pool="sandbox"} 1' in gateway.get("/metrics").body.decode(),
        "one is ready",
    )
    _, ada = mint(gateway, principal="ada")
    made = create(ada)
    assert made["owner"] == "ada"
    text = gateway.get("/metrics").body.decode()
    assert 'warmcell_pool_hits_total{pool="sandbox"} 0' in text
    owners = create(gateway)
    assert 'warmcell_pool_hits_total{pool="sandbox"} 1' in gateway.get("/metrics").body.decode()
    remove(gateway, made)
    remove(gateway, owners)
    end(gateway, keeper)
