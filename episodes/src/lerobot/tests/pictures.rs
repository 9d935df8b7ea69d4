//! Cameras of made-up datasets: pictures inside the data files, and videos that are not there.

use serde_json::json;

use super::*;

const FILE_0: &str = "data/chunk-000/file-000.parquet";

#[test]
fn pictures_survive_the_cache() -> Result<(), Error> {
    let made = Made::v3(&[(0, 4, 0), (1, 3, 0)]);
    made.set(
        "/features/observation.images.top",
        json!({"dtype": "image", "shape": [4, 4, 3], "names": ["height", "width", "channel"]}),
    );
    Rows::new(&[(0, 4), (1, 3)]).with_pictures().write(made.root(), FILE_0);
    for _ in 0..2 {
        let dataset = made.open()?;
        assert_eq!(dataset.spec.cameras[0].native_height, 4);
        assert_eq!(dataset.frames[0].len(), 7);
        assert_eq!(dataset.frame(0, 1, 2).len(), 8 * 8 * 3);
        assert_eq!(&dataset.frame(0, 1, 2)[..3], [20, 20, 7]);
    }
    let blind = Dataset::open(&OpenOptions { cameras: Some(vec![]), ..made.options() }, &mut |_| {})?;
    assert!(blind.frames.is_empty() && blind.spec.cameras.is_empty());
    Ok(())
}

#[test]
fn pictures_that_do_not_decode() -> Result<(), Error> {
    let made = Made::v3(&[(0, 4, 0), (1, 4, 0), (2, 4, 0), (3, 4, 0)]);
    made.set("/features/observation.images.top", json!({"dtype": "image", "shape": [4, 4, 3], "names": null}));
    let mut rows = Rows::new(&[(0, 4), (1, 4), (2, 4), (3, 4)]).with_pictures();
    let pictures = rows.pictures.as_mut().expect("has pictures");
    pictures[5].truncate(20);
    pictures[9].clear();
    rows.write(made.root(), FILE_0);
    for _ in 0..2 {
        let dataset = made.open()?;
        assert_eq!(indices(&dataset), [0, 3]);
        assert_eq!(&dataset.frame(0, 1, 2)[..3], [60, 20, 7]);
        assert_eq!(dataset.skipped.len(), 2);
        assert_eq!(dataset.skipped[0].what, "episode 1");
        let empty = format!("a picture of camera {CAMERA} cannot be read (a cell is empty): {FILE_0}");
        assert_eq!(dataset.skipped[1], skipped("episode 2", &empty));
    }
    Ok(())
}

#[test]
fn a_missing_video_matters_only_to_those_who_look() -> Result<(), Error> {
    let made = Made::v3(&[(0, 4, 0), (1, 4, 0)]);
    Rows::new(&[(0, 4), (1, 4)]).write(made.root(), FILE_0);
    made.set("/features/observation.images.film", json!({"dtype": "video", "shape": [4, 4, 3], "names": null}));
    let message = made.open().expect_err("no episode has a video").to_string();
    let missing = "2 episodes (0, 1) (video of camera observation.images.film missing: \
                   videos/observation.images.film/chunk-000/file-000.mp4)";
    assert!(message.contains(missing), "{message}");
    let blind = Dataset::open(&OpenOptions { cameras: Some(vec![]), ..made.options() }, &mut |_| {})?;
    assert_eq!(indices(&blind), [0, 1]);
    Ok(())
}
