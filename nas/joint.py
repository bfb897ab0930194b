"""Which search a study on a server is, so that no other is mixed with it, and which of its drivers opens the test part.

Both are attributes of the study. `shared.py` is the ledger itself.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import socket
import time
from pathlib import Path
from typing import Any

import optuna

from nas.changes import space_changes
from nas.config import CHANGEABLE, Settings
from nas.errors import RunError
from nas.server import OPTION, alone, engine_of, reached, storage_at

FACTS = "search"  # the study's attribute that says which search it is
RETRAINED = "retrained by"  # the one that says which driver retrains its best, where, and since when
OPENED = "test part opened by"  # and the one that says which driver has
STALE = 86_400.0  # seconds after which a retraining that has not come to the test part may be begun elsewhere

# What drivers of one search may have different; of files what stands in them has to be the same, not where they lie.
_OWN = (*CHANGEABLE, "storage", "study", "dataset", "space", "tensorboard", "plugin", "start_from")


def check_shared(chosen: Settings, facts: dict[str, Any], known: int = 0) -> None:
    """Raise RunError if the study of a search is another search than that of `facts`, or has lost some of the `known`
    candidates; RunFailed if the server cannot be asked."""
    engine = engine_of(chosen.storage)
    try:
        with reached(), storage_at(engine) as storage:
            there = chosen.study in optuna.get_all_study_names(storage)
            study = optuna.load_study(storage=storage, study_name=chosen.study) if there else None
            found = len(study.get_trials(deepcopy=False)) if study is not None else 0
            if found < known:
                words = f"has {found} candidates, the leaderboard {known}: it was removed, or put back from an older copy"
                raise RunError(f"the study '{chosen.study}' {words}; to go on with what it has, remove leaderboard.csv", OPTION)
            if study is not None and FACTS in study.user_attrs:
                check_same(study.user_attrs[FACTS], chosen, facts)
    finally:
        engine.dispose()


def claim_retraining(chosen: Settings, facts: dict[str, Any], folder: Path, opening: bool = False) -> None:
    """Note that the run of `facts`, in `folder`, retrains, or that it is `opening` the test part, if its study is shared: that
    is done once for a study, not once for each of its run folders. Raises RunError if another one does."""
    if chosen.storage is None:
        return
    engine, own = engine_of(chosen.storage), str(facts.get("driver"))
    try:
        with reached(), alone(engine, chosen.study), storage_at(engine) as storage:
            if chosen.study not in optuna.get_all_study_names(storage):
                raise RunError(f"there is no study '{chosen.study}'", OPTION)
            study = optuna.load_study(storage=storage, study_name=chosen.study)
            before = study.user_attrs.get(RETRAINED) or {}
            if study.user_attrs.get(OPENED, own) != own:
                words = f"was retrained elsewhere before ({before.get('where')}), and its test part opened"
                raise RunError(f"the study '{chosen.study}' {words}", OPTION)
            if not opening and before.get("driver", own) != own and time.time() - before["since"] < STALE:
                since = datetime.datetime.fromtimestamp(before["since"]).astimezone().isoformat(" ", "minutes")
                words = f"is being retrained elsewhere ({before['where']}, since {since}); go on there, or here a day later"
                raise RunError(f"the study '{chosen.study}' {words}", OPTION)
            mine = {"driver": own, "where": f"{socket.gethostname()}:{folder.absolute()}", "since": time.time()}
            study.set_user_attr(RETRAINED, mine)
            if opening:
                study.set_user_attr(OPENED, own)
    finally:
        engine.dispose()


def facts_of(chosen: Settings, facts: dict[str, Any]) -> dict[str, Any]:
    """Which search it is. Files are told by what stands in them: they lie elsewhere on each machine."""
    kept = {name: value for name, value in chosen.model_dump(mode="json").items() if name not in _OWN}
    return {
        "settings": kept,
        **{f"digest of the {name}": facts["digests"].get(name) for name in ("space", "data")},
        "digests of the backbones": sorted((facts["digests"].get("backbones") or {}).values()),
        "digests of the plugins": sorted((facts.get("plugins") or {}).values()),
        "digest of --start-from": _digest(facts["start"]) if facts.get("start") else None,
    }


def check_same(then: dict[str, Any], chosen: Settings, facts: dict[str, Any]) -> None:
    """Raise RunError if a study was begun as another search."""
    now, usual = facts_of(chosen, facts), Settings().model_dump(mode="json")
    kept = then.get("settings", {})
    then = {**now, **then, "settings": {name: kept.get(name, usual[name]) for name in now["settings"]}}
    if then != now:
        words = space_changes(then, now).replace("settings.", "--").replace("_", "-")
        hint = "give what it began with, or another --study"
        raise RunError(f"the study '{chosen.study}' is another search: {words}; {hint}", OPTION)


def _digest(start: Any) -> str:
    return hashlib.blake2b(json.dumps(start, sort_keys=True).encode(), digest_size=8).hexdigest()
