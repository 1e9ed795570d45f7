"""A recording that is made to break the engine costs one failed row: the service and others go on."""

from __future__ import annotations

from pathlib import Path

from tests.engine.bombs import sample_table
from tests.harness import Service

SAMPLES = Path(__file__).parents[2] / "daemon" / "samples"


def test_640_bytes_that_claim_gigabytes_fail_alone(tmp_path: Path) -> None:
    bomb = sample_table()
    assert len(bomb) <= 640
    settings = {"analyzer": {"base_url": "embedded"}, "engine": {"model": "tiny.en", "workers": 1}}
    with Service(tmp_path, settings) as service:
        service.start()
        service.drop("bomb.m4a", bomb)
        service.drop("again.m4a", bomb + b"again")
        service.drop("innocent.mp3", (SAMPLES / "silence.mp3").read_bytes())
        service.wait_states(done=1, failed=2)
        rows = {row["name"]: row for row in service.rows("SELECT * FROM recordings")}
        pauses = service.rows("SELECT * FROM pauses")
        said = service.log_file.read_text("utf-8")
        assert service.stop() == 0
    for name in ("bomb.m4a", "again.m4a"):
        assert rows[name]["error_code"] == "corrupt_audio"
        assert rows[name]["possibly_billed"] <= 2
    assert rows["innocent.mp3"]["state"] == "done"
    assert pauses == []
    assert "starting it again" not in said
