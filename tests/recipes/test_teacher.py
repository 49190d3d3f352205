import torch

from speechcli.recipes.embedded_data.teacher import classes, k_means


def test_points_that_lie_together_are_of_one_class() -> None:
    torch.manual_seed(1)
    places = torch.randint(3, (60,))
    points = torch.eye(3)[places] * 10 + torch.randn(60, 3) * 0.1
    found = k_means(points, 12)
    # with more classes than places a class never spans two of them
    assert all(len(set(places[found == number].tolist())) == 1 for number in set(found.tolist()))


def test_what_a_group_has_in_common_tells_no_classes_apart() -> None:
    torch.manual_seed(2)
    shapes = torch.randn(4, 100) * 3
    said = [torch.randint(4, (30,)) for _ in range(6)]
    groups = ["a", "b"] * 3
    color = {"a": torch.randn(100) * 0.2, "b": torch.randn(100) * 0.2}
    heard = [
        shapes[each] + color[group] + torch.randn(30, 100) * 0.01 for each, group in zip(said, groups, strict=True)
    ]
    found = classes(heard, groups, count=4)
    assert [len(each) for each in found] == [30] * 6
    pairs = set(zip(torch.cat(said).tolist(), torch.cat(found).tolist(), strict=True))
    # every class has one shape in all groups
    assert len({number for _, number in pairs}) == len(pairs)
