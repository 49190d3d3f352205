import pytest

from speechcli.errors import OutputError, UsageError
from speechcli.training.limits import LIMITS, check_numbers
from speechcli.training.merge import merge_options, write_options
from speechcli.training.train_options import TrainOptions, shipped_recipes


def test_later_layers_win_and_are_remembered(tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text("[optimizer]\nlearning_rate = 1\nclip = 2.0\n[run]\nseed = 3\n")
    merged = merge_options(recipe, ["run.seed=4", "optimizer.clip=1"], {"run.seed": 5, "run.max_steps": None})
    assert merged.options.optimizer.learning_rate == 1.0
    assert merged.options.optimizer.clip == 1.0
    assert merged.options.run.seed == 5
    assert merged.sources == {
        "optimizer.learning_rate": str(recipe),
        "optimizer.clip": "--set optimizer.clip=1",
        "run.seed": "option",
    }


@pytest.mark.parametrize(
    ("assignment", "nearest"),
    [
        ("optimizer.learning_rat=1", "optimizer.learning_rate"),
        ("optimiser.clip=1", "optimizer.clip"),
        ("batch.seed=1", "run.seed"),
    ],
)
def test_the_error_for_an_unknown_key_names_the_nearest_one(assignment, nearest):
    with pytest.raises(UsageError, match="no training option") as caught:
        merge_options(assignments=[assignment])
    assert caught.value.hint == f"did you mean '{nearest}'?"


def test_the_error_for_an_unknown_section_names_the_nearest_one(tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text("[optimiser]\nclip = 2.0\n")
    with pytest.raises(UsageError) as caught:
        merge_options(recipe)
    assert caught.value.hint == "did you mean 'optimizer'?"


@pytest.mark.parametrize(
    ("assignment", "complaint"),
    [
        ("optimizer.schedule=cosin", "must be one of constant, linear, cosine"),
        ("run.max_steps=many", "must be a whole number, but is 'many'"),
        ("run.max_steps=true", "must be a whole number"),
        ("optimizer.betas=[0.9]", "must have 2 values, but has 1"),
        ("objective.ctc_weight=2", "must be in \\[0, 1\\], but is 2"),
        ("seed", "takes section.key=value"),
        ("optimizer.learning_rate=0", "must be above 0, but is 0"),
        ("optimizer.learning_rate=nan", "must be above 0, but is nan"),
        ("optimizer.betas=[0.9, 1.0]", "must be in \\[0, 1\\), but is 1"),
        ("run.max_steps=-1", "must be at least 0, but is -1"),
        ("data.temperature=0.5", "must be a finite number of at least 1, but is 0.5"),
        ("data.temperature=inf", "must be a finite number of at least 1, but is inf"),
        ("run.beam_size=0", "must be at least 1, but is 0"),
        ("run.threads=-1", "must be from 0 to 1024, but is -1"),
        ("run.threads=100000000", "must be from 0 to 1024, but is 100000000"),
        ("run.seed=4294967296", "must be from 0 to 4294967295, but is 4294967296"),
        ("data.weights=[0.0]", "not all 0"),
        ("augment.speed=[1.1, 0.9]", "must go from low to high, but is 1.1 to 0.9"),
        ("augment.noise_probability=1.5", "must be in \\[0, 1\\], but is 1.5"),
        ("model.freeze={encoder=1}", "must be text"),
        ("model.path=", "`model.path` must not be empty"),
        ("data.train=['a.tsv', '']", "`data.train` must not be empty"),
    ],
)
def test_the_error_for_a_wrong_value_quotes_it(assignment, complaint):
    with pytest.raises(UsageError, match=complaint):
        merge_options(assignments=[assignment])


def test_every_number_has_a_limit_that_its_default_keeps():
    numbers = {key for limit, keys in LIMITS.items() for key in keys}
    values = {f"{part}.{key}": value for part, keys in TrainOptions().to_dict().items() for key, value in keys.items()}
    assert numbers <= values.keys()
    for key in ("optimizer.weight_decay", "model.freeze_encoder_steps", "data.min_seconds"):
        with pytest.raises(UsageError, match=f"`{key}` must be at least 0"):
            check_numbers(values | {key: -1})


def test_a_bare_word_is_text_and_one_value_makes_a_list():
    options = merge_options(assignments=["data.train=a/b.tsv", "model.freeze=['encoder']"]).options
    assert options.data.train == ("a/b.tsv",)
    assert options.model.freeze == ("encoder",)


def test_the_error_for_an_unknown_recipe_lists_the_built_in_ones():
    with pytest.raises(UsageError, match="embedded, fillets_english, finetune") as caught:
        merge_options("finetun")
    assert caught.value.hint == "did you mean 'finetune'?"


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_every_shipped_recipe_is_valid_and_commented(name):
    path = shipped_recipes()[name]
    assert merge_options(name).options != TrainOptions()
    assert path.read_text().count("#") >= 10


def test_written_options_read_back_the_same(tmp_path):
    merged = merge_options("embedded", ["optimizer.learning_rate=1e-5", 'data.train=["a\\"b.tsv", "c.tsv"]'])
    write_options(merged, tmp_path / "options.toml")
    assert merge_options(run=tmp_path).options == merged.options
    assert "1e-05  # --set optimizer.learning_rate=1e-5" in (tmp_path / "options.toml").read_text()


def test_options_that_a_full_disk_cuts_short_are_not_taken_for_a_run(tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # the largest file that may be written
    try:
        with pytest.raises(OutputError, match="File too large"):
            write_options(merge_options("embedded"), tmp_path / "options.toml")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
