from engine.analysis.labels import CHARACTER_WIDTH, LINE_HEIGHT, Placement, place_labels

SIZE = (400.0, 200.0)


def box(position: tuple[float, float], text: str, place: Placement) -> tuple[float, float, float, float]:
    x, y = position[0] + place.dx, position[1] + place.dy
    half = len(text) * CHARACTER_WIDTH / 2
    return (x - half, y - LINE_HEIGHT / 2, x + half, y + LINE_HEIGHT / 2)


def test_labels_neither_meet_nor_leave_the_plot() -> None:
    positions = [(50.0, 50.0), (90.0, 55.0), (200.0, 100.0), (390.0, 195.0)]
    texts = ["int8-dynamic", "prune", "baseline", "distill"]
    placed = place_labels(positions, texts, [], SIZE)
    assert len(placed) == 4
    boxes = [box(positions[one.index], texts[one.index], one) for one in placed]
    for number, one in enumerate(boxes):
        assert one[0] >= 0
        assert one[2] <= SIZE[0]
        for other in boxes[number + 1 :]:
            assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_a_label_without_room_is_left_out() -> None:
    assert place_labels([(200.0, 100.0)], ["x" * 100], [], SIZE) == []
    wall = (0.0, 0.0, *SIZE)
    assert place_labels([(200.0, 100.0)], ["x"], [wall], SIZE) == []
