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

    def run(*arguments, owner_pid):
        got.append((*arguments, owner_pid))
        return 0

    monkeypatch.setattr(local_region.daemon, "run", run)
    options = ["--dir", str(tmp_path), "--port", "0", "--period-s", "20", "--owner-pid", "7"]
    assert entry.main(options) == 0
    [(directory, port, settings, owner_pid)] = got
    assert (directory, port, settings.period_s, owner_pid) == (tmp_path, 0, 20, 7)
