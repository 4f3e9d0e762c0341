"""Whatever the environment holds, the settings are read or refused in one line a variable."""

from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.settings import Settings, SettingsError, load_settings

WORDS = [
    "https://{domain}", "postgresql://u:p%x@h/db", "postgresql+psycopg2://x", "10m",
    "0s", "999999d",
    "1e400", "nan", "* * * * *", "0 0 31 2 *", "*/0 * * * *", "true", "s3://b", "nats://a@b",
    "http://[::1", "http://h:99999999", "full", "9" * 5_000, "-1", "{",
    "{domain}{domain}", "\ud800",
    "https://user:hunter2-secret@proxy:3128", "..", "2026-07", "publish,draft",
]  # fmt: skip
NAMES = list(Settings.model_fields)


def names_no_setting(text: str) -> bool:
    """Whether the redaction leaves the settings' names in a message if the text is a secret."""
    return not any(
        part and (part in name or name in part) for part in text.lower().split() for name in NAMES
    )


# Hypothesis tries the strings of our own code, too.
VALUES = (
    st.text(max_size=40).filter(names_no_setting)
    | st.sampled_from(WORDS)
    | st.lists(st.sampled_from(WORDS), min_size=2, max_size=3).map("".join)
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6))
@example({"connector_home": "https://{domain}https://user:hunter2-secret@proxy:3128"})
def test_any_value_is_read_or_refused_by_its_variable(given_values: dict[str, str]) -> None:
    """A refusal says the variable, and not the value, which may be a secret."""
    try:
        settings = load_settings(**given_values)
    except SettingsError as error:
        for line in error.lines:
            assert line.partition(":")[0].lower() in given_values
            assert "hunter2-secret" not in line
            assert "\n" not in line
            assert len(line) < 500
    else:
        assert "hunter2-secret" not in repr(settings)
