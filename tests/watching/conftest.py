import pytest

# Else an assertion in it says nothing but that it failed.
pytest.register_assert_rewrite("tests.watching.places")
