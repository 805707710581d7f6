import pytest

from local_region import __main__ as entry


def test_a_wrong_period_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        entry.main(["--dir", "x", "--period-s", "7"])
    assert ended.value.code == 2
    assert "invalid choice: 7" in capsys.readouterr().err


def test_the_options_reach_the_daemon(monkeypatch, tmp_path):
    import local_region.daemon

    got = []
    monkeypatch.setattr(local_region.daemon, "run", lambda *arguments: got.append(arguments) or 0)
    assert entry.main(["--dir", str(tmp_path), "--port", "0", "--period-s", "20"]) == 0
    [(directory, port, settings)] = got
    assert (directory, port, settings.period_s) == (tmp_path, 0, 20)
