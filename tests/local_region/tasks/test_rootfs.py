"""What a task sees of its image."""

from __future__ import annotations

import pytest

from local_region.tasks.rootfs import make_view


@pytest.fixture
def image(tmp_path):
    (tmp_path / "image/srv/app/static").mkdir(parents=True)
    (tmp_path / "image/srv/app/main.py").write_text("code")
    (tmp_path / "image/srv/data").mkdir()
    return tmp_path / "image"


def test_without_mounts_all_is_the_image(image, tmp_path):
    view = make_view(image, tmp_path / "view", {})
    assert (view.path("/srv") / "app/main.py").read_text() == "code"


def test_mount_hides_what_the_image_has_there(image, tmp_path):
    (image / "srv/data/old").write_text("x")
    view = make_view(image, tmp_path / "view", {"/srv/data": tmp_path / "volume"})
    (view.path("/srv/data") / "new").write_text("y")
    assert (tmp_path / "volume/new").read_text() == "y"
    assert not (view.path("/srv/data") / "old").exists()
    assert (view.path("/srv/app/main.py")).read_text() == "code"


def test_deep_mount_point_that_the_image_does_not_have(image, tmp_path):
    view = make_view(image, tmp_path / "view", {"/srv/app/static/up/loads": tmp_path / "v"})
    (view.path("/srv/app/static/up/loads") / "f").write_text("y")
    assert (tmp_path / "v/f").exists()
    assert not (image / "srv/app/static/up").exists()
    assert view.path("/srv/app/main.py").read_text() == "code"


def test_two_tasks_of_one_image_have_their_own_mounts(image, tmp_path):
    one = make_view(image, tmp_path / "one", {"/srv/data": tmp_path / "v1"})
    two = make_view(image, tmp_path / "two", {"/srv/data": tmp_path / "v2"})
    (one.path("/srv/data") / "f").write_text("1")
    assert not (two.path("/srv/data") / "f").exists()


@pytest.mark.parametrize("point", ["data", "/", "/srv/../../etc"])
def test_mount_point_must_be_inside(image, tmp_path, point):
    with pytest.raises(ValueError, match="not a mount point"):
        make_view(image, tmp_path / "view", {point: tmp_path / "v"})
