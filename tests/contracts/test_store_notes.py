"""What every store must do with notes, tags, the order of the queue, deletion and filters."""

import pytest

from engine.errors import ContradictionError, InvalidValueError
from engine.results import Status
from engine.spec import Choice
from engine.store.notes import LONGEST_NOTE, Subject
from engine.store.selection import RunFilter
from engine.store.store import Store
from tests.fakes import FakeClock, make_raw, make_result, make_spec

RUN, STUDY = Subject.run(1), Subject.study("grid")


def add(store: Store, seed: int, study: str | None = None, *, done: bool = True, **changes: object) -> int:
    """Put a run into the store, ended unless told otherwise."""
    (run_id,) = store.enqueue([make_spec(seed, **changes)], study)
    if done:
        store.claim("a", only=[run_id])
        store.finish(run_id, "a", make_result(), make_raw())
    return run_id


class TestNotes:
    def test_a_note_is_kept_replaced_and_removed(self, store: Store, clock: FakeClock) -> None:
        assert store.note(RUN) is None
        store.write_note(RUN, "**first**")
        clock.advance(60)
        store.write_note(RUN, "second")
        note = store.note(RUN)
        assert note is not None
        assert (note.text, note.updated_at) == ("second", clock.now())
        store.write_note(RUN, "  ")
        assert store.note(RUN) is None

    def test_runs_and_studies_of_one_name_have_their_own(self, store: Store) -> None:
        store.write_note(Subject.study("1"), "of the study")
        assert store.note(RUN) is None

    def test_a_note_of_ten_thousand_characters_is_kept_and_a_longer_one_refused(self, store: Store) -> None:
        store.write_note(RUN, "x" * LONGEST_NOTE)
        with pytest.raises(InvalidValueError, match="10,001 characters"):
            store.write_note(RUN, "x" * (LONGEST_NOTE + 1))
        note = store.note(RUN)
        assert note is not None
        assert len(note.text) == LONGEST_NOTE

    def test_tags_are_a_set(self, store: Store) -> None:
        store.set_tags([RUN, STUDY], ["good", " good ", "<b>"])
        assert store.tags(RUN) == store.tags(STUDY) == ["<b>", "good"]
        store.set_tags([RUN], ["other"])
        assert store.all_tags() == ["<b>", "good", "other"]
        store.set_tags([RUN], [])
        assert store.tags(RUN) == []

    @pytest.mark.parametrize("tag", ["", "   ", "a|b", "x" * 41])
    def test_what_is_no_tag_is_refused(self, store: Store, tag: str) -> None:
        with pytest.raises(InvalidValueError):
            store.set_tags([RUN], [tag])

    def test_too_many_tags_are_refused(self, store: Store) -> None:
        with pytest.raises(InvalidValueError, match="21 tags"):
            store.set_tags([RUN], [f"t{number}" for number in range(21)])

    def test_writing_moves_the_revision_and_leaves_the_run_alone(self, store: Store) -> None:
        run_id = add(store, 0)
        run, before = store.run(run_id), store.revision()
        store.write_note(Subject.run(run_id), "mine")
        store.set_tags([Subject.run(run_id)], ["good"])
        assert store.revision() != before
        assert store.run(run_id) == run


class TestOrder:
    def test_waiting_runs_are_claimed_in_the_new_order(self, store: Store) -> None:
        first, second, third = (add(store, seed, done=False) for seed in range(3))
        store.reorder([third, first])
        assert [run.id for run in store.waiting()] == [third, first, second]
        claimed = [store.claim("a") for _ in range(3)]
        assert [run.id for run in claimed if run] == [third, first, second]

    def test_what_is_under_way_is_left_alone(self, store: Store) -> None:
        first, second = (add(store, seed, done=False) for seed in range(2))
        store.claim("a", only=[first])
        store.reorder([second, first, 99])
        assert [run.id for run in store.waiting()] == [second]
        assert store.run(first).status is Status.RUNNING

    def test_what_is_put_first_later_comes_first(self, store: Store) -> None:
        ids = [add(store, seed, done=False) for seed in range(3)]
        store.reorder([ids[1]])
        store.reorder([ids[2]])
        assert [run.id for run in store.waiting()] == [ids[2], ids[1], ids[0]]


class TestDeletion:
    def test_a_run_goes_with_its_numbers_arrays_notes_and_files(self, store: Store) -> None:
        kept, gone = add(store, 0), add(store, 1)
        for run_id in (kept, gone):
            store.write_note(Subject.run(run_id), "mine")
            folder = store.run_folder(run_id).path
            folder.mkdir(parents=True)
            (folder / "log.txt").write_text("x")
        assert store.delete_runs([gone]) == 1
        assert [row.id for row in store.summaries()] == [kept]
        assert store.raw(gone).arrays == {}
        assert store.note(Subject.run(gone)) is None
        assert not store.run_folder(gone).path.exists()
        assert store.note(Subject.run(kept)) is not None
        assert store.run_folder(kept).path.exists()

    def test_what_has_not_ended_is_refused_and_nothing_goes(self, store: Store) -> None:
        done, waiting = add(store, 0), add(store, 1, done=False)
        with pytest.raises(ContradictionError, match=f"Run {waiting} has not ended"):
            store.delete_runs([done, waiting])
        assert store.run(done).status is Status.DONE

    def test_a_study_goes_with_its_runs_and_notes(self, store: Store) -> None:
        other = add(store, 0, "other")
        for seed in (1, 2):
            add(store, seed, "grid")
        store.write_note(STUDY, "mine")
        assert store.delete_study("grid") == 2
        assert store.note(STUDY) is None
        assert [row.id for row in store.summaries()] == [other]

    def test_an_id_is_never_used_again(self, store: Store) -> None:
        gone = add(store, 0)
        store.delete_runs([gone])
        assert add(store, 1) > gone


class TestFilters:
    @pytest.fixture
    def ids(self, store: Store) -> list[int]:
        """Four runs that differ: two done, one queued, one failed."""
        prune = [Choice(name="prune-magnitude", params={"sparsity": 0.5})]
        found = [
            add(store, 0, "grid"),
            add(store, 1, None, model="minilm-l6", techniques=prune),
            add(store, 2, "grid", done=False, backend=Choice(name="torch", params={"threads": 2})),
            add(store, 3, "50 %_off", done=False, backend="torch"),
        ]
        store.set_tags([Subject.run(found[1])], ["good"])
        store.set_tags([STUDY], ["good", "new"])
        return found

    @pytest.mark.parametrize(
        ("chosen", "places"),
        [
            (RunFilter(), [3, 2, 1, 0]),
            (RunFilter(status=(Status.DONE,)), [1, 0]),
            (RunFilter(models=("minilm-l6",)), [1]),
            (RunFilter(studies=("grid",)), [2, 0]),
            (RunFilter(backends=("torch",)), [3, 2]),
            (RunFilter(words="PRUNE minilm"), [1]),
            (RunFilter(words="%_"), [3]),
            (RunFilter(tags=("good",)), [2, 1, 0]),
            (RunFilter(tags=("good", "new")), [2, 0]),
            (RunFilter(studies=("grid",), status=(Status.FAILED,)), []),
        ],
    )
    def test_runs_are_chosen_the_newest_first(
        self, store: Store, ids: list[int], chosen: RunFilter, places: list[int]
    ) -> None:
        expected = [ids[place] for place in places]
        assert [row.id for row in store.listed(chosen, limit=10)] == expected
        assert store.listed_ids(chosen) == expected
        assert store.count(chosen) == len(expected)

    def test_a_part_of_the_list_can_be_read_with_its_numbers(self, store: Store, ids: list[int]) -> None:
        (row,) = store.listed(RunFilter(), limit=1, offset=3)
        assert row.id == ids[0]
        assert row.metrics["accuracy"].value == 0.86

    def test_names_are_what_can_be_asked_for(self, store: Store, ids: list[int]) -> None:
        names = store.names()
        assert names.models == ("fashion-mlp", "minilm-l6")
        assert names.backends == ("onnxruntime", "torch")
        assert names.studies == ("50 %_off", "grid")
        assert len(ids) == 4

    def test_known_runs_are_found_by_their_fingerprints(self, store: Store, ids: list[int]) -> None:
        fingerprints = [store.run(run_id).fingerprint for run_id in ids]
        store.request_cancel(ids[3])
        assert store.known([*fingerprints, "0" * 64]) == dict(zip(fingerprints[:3], ids[:3], strict=True))
        assert set(store.known(fingerprints, "elsewhere")) == {fingerprints[2]}, "a waiting run has no machine yet"

    def test_durations_are_those_of_finished_runs_the_newest_first(self, store: Store, clock: FakeClock) -> None:
        for seconds in (10, 20):
            (run_id,) = store.enqueue([make_spec(seconds)])
            store.claim("a", only=[run_id])
            clock.advance(seconds)
            store.finish(run_id, "a", make_result(), None)
        assert [(past.model, past.effort, past.seconds) for past in store.durations()] == [
            ("fashion-mlp", "quick", 20),
            ("fashion-mlp", "quick", 10),
        ]
        assert len(store.durations(limit=1)) == 1
        assert store.durations("elsewhere") == []


class TestFiles:
    @pytest.fixture
    def ended(self, store: Store, clock: FakeClock) -> list[int]:
        """Three runs that ended one after the other, the last of the queue first, with files."""
        ids = store.enqueue([make_spec(seed) for seed in range(3)])
        for run_id in reversed(ids):
            clock.advance(1)
            assert store.claim("a", only=[run_id])
            store.finish(run_id, "a", make_result(), make_raw())
            furnish(store, run_id)
        return ids

    def test_files_of_runs_that_ended_longest_ago_go_first_and_the_record_stays(
        self, store: Store, ended: list[int]
    ) -> None:
        before = [store.run(run_id) for run_id in ended]
        assert store.shed_files(15, size=lambda _: 10) == [ended[2], ended[1]]
        assert [store.run_folder(run_id).path.exists() for run_id in ended] == [True, False, False]
        assert [store.run(run_id) for run_id in ended] == before
        assert store.raw(ended[2]).arrays.keys() == make_raw().arrays.keys()
        assert store.run_folder(ended[2]).log_tail() == ""

    def test_nothing_goes_while_there_is_room(self, store: Store, ended: list[int]) -> None:
        assert store.shed_files(30, size=lambda _: 10) == []
        size = len("log")
        assert store.shed_files(3 * size) == []
        assert store.shed_files(3 * size - 1) == [ended[2]]

    def test_runs_that_have_not_ended_and_files_of_nobody_stay(self, store: Store, ended: list[int]) -> None:
        store.delete_runs(ended)
        waiting, running = add(store, 7, done=False), add(store, 8, done=False)
        assert store.claim("a", only=[running])
        for run_id in (waiting, running, 99):
            furnish(store, run_id)
        (store.runs_folder / "audit.jsonl").touch()
        assert store.shed_files(0, size=lambda _: 10) == []
        assert all(store.run_folder(run_id).log.exists() for run_id in (waiting, running, 99))

    def test_files_of_a_run_of_another_database_in_the_same_folder_stay(self, store: Store, ended: list[int]) -> None:
        for run_id, seed in zip(ended, (0, 1, 77), strict=True):
            store.run_folder(run_id).spec.write_text(make_spec(seed).canonical_json())
        assert store.shed_files(0, size=lambda _: 10) == [ended[1], ended[0]]
        assert store.run_folder(ended[2]).log.exists()

    def test_without_any_files_there_is_nothing_to_do(self, store: Store) -> None:
        assert store.shed_files(0) == []


def furnish(store: Store, run_id: int) -> None:
    """Give a run a log."""
    log = store.run_folder(run_id).log
    log.parent.mkdir(parents=True)
    log.write_text("log")
