//! What is downloaded, where it lies, and that nothing is downloaded twice.

use std::fs;
use std::path::Path;

use super::server::blob;
use super::{COMMIT, Outcome, Place, VIDEO, assert_whole, files, is_data, names};
use crate::Error;
use crate::listing::Listed;
use crate::store::Store;

#[test]
fn a_dataset_comes_whole_and_a_second_look_downloads_nothing() -> Outcome {
    let place = Place::new()?;
    let mut last = (0, 0);
    let snapshot = place.find("hub:me/tiny")?;
    snapshot.fetch(&is_data, &|| false, &mut |done, total| {
        assert!(done >= last.0 && done <= total);
        last = (done, total);
    })?;
    snapshot.remember()?;
    assert_eq!(last, (305_002, 305_002));
    assert_whole(snapshot.folder())?;

    // As Python lays it out.
    let repo = place.repo();
    assert_eq!(snapshot.folder(), repo.join("snapshots").join(COMMIT));
    assert_eq!(fs::read_to_string(repo.join("refs/main"))?, COMMIT);
    let mut blobs: Vec<String> = files()
        .iter()
        .filter(|(path, _)| is_data(path))
        .map(|(_, content)| blob(content, content.len() >= 1000))
        .collect();
    blobs.sort();
    assert_eq!(names(&repo.join("blobs")), blobs);
    #[cfg(unix)]
    assert_eq!(
        fs::read_link(snapshot.folder().join("meta/info.json"))?,
        Path::new("../../../blobs").join(blob(b"{}", false))
    );

    place.server.asked();
    assert_whole(place.fetch("hub:me/tiny")?.folder())?;
    assert_eq!(place.server.asked(), ["/api/datasets/me/tiny/revision/main?expand=sha"]);
    Ok(())
}

#[test]
fn only_what_is_wanted_is_downloaded_and_the_rest_when_it_is() -> Outcome {
    let place = Place::new()?;
    let snapshot = place.find("hub:me/tiny")?;
    snapshot.fetch(&|path| path.starts_with("meta/"), &|| false, &mut |_, _| {})?;
    assert_eq!(names(snapshot.folder()), ["meta"]);
    snapshot.fetch(&|path| is_data(path) && path != VIDEO, &|| false, &mut |_, _| {})?;
    assert_eq!(names(snapshot.folder()), ["data", "meta"]);
    snapshot.fetch(&is_data, &|| false, &mut |_, total| assert_eq!(total, 300_000))?;
    assert_whole(snapshot.folder())
}

#[test]
fn a_stop_keeps_what_is_here_and_the_next_time_goes_on() -> Outcome {
    let place = Place::new()?;
    let snapshot = place.find("hub:me/tiny")?;
    let blobs = place.repo().join("blobs");
    let part = format!("{}.incomplete", blob(&files()[VIDEO], true));
    let here = || fs::metadata(blobs.join(&part)).map_or(0, |about| about.len());
    let outcome = snapshot.fetch(&|path| path == VIDEO, &|| here() >= 100_000, &mut |_, _| {});
    assert!(matches!(&outcome, Err(Error::Stopped { path }) if *path == place.repo()), "{outcome:?}");
    assert_eq!(names(&blobs), std::slice::from_ref(&part));
    let len = here();
    assert!((100_000..300_000).contains(&len), "{len}");
    place.server.hub().asked.clear();
    let mut first = None;
    snapshot.fetch(&is_data, &|| false, &mut |done, _| first = first.or(Some(done)))?;
    assert_eq!(first, Some(len), "progress begins where it ended");
    let ranges: Vec<String> = place.server.hub().asked.iter().map(|(_, range, _)| range.clone()).collect();
    assert!(ranges.contains(&format!("bytes={len}-")), "{ranges:?}");
    assert_whole(snapshot.folder())
}

#[test]
fn two_at_the_same_time_do_no_harm_and_download_once() -> Outcome {
    let place = Place::new()?;
    let outcomes: Vec<Result<(), Error>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| place.fetch("hub:me/tiny").map(|_| ()))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    assert_eq!(outcomes.len(), 4);
    outcomes.into_iter().collect::<Result<Vec<()>, Error>>()?;
    assert_whole(place.find("hub:me/tiny")?.folder())?;
    let asked = place.server.asked();
    assert_eq!(asked.iter().filter(|path| path.contains("/large/")).count(), 2, "{asked:?}");
    Ok(())
}

#[test]
fn without_links_the_files_themselves_get_the_names() -> Outcome {
    let place = Place::new()?;
    let mut store = Store::new(&place.settings.cache_dir, &"hub:me/tiny".parse()?);
    store.link = |_, _| Err(std::io::ErrorKind::Unsupported.into());
    let file = Listed { path: "meta/info.json".to_owned(), size: 2, blob: blob(b"{}", false) };
    fs::create_dir_all(place.repo().join("blobs"))?;
    fs::write(store.blob(&file), "{}")?;
    store.place(COMMIT, &file)?;
    let name = store.snapshot(COMMIT).join(&file.path);
    assert!(store.holds(COMMIT, &file) && fs::symlink_metadata(&name)?.is_file());
    assert_eq!(fs::read_to_string(&name)?, "{}");
    // A name that is there already, and wrong, is replaced.
    fs::write(&name, "longer than it should be")?;
    fs::remove_file(&name)?;
    fs::write(&name, "x")?;
    fs::write(store.blob(&file), "{}")?;
    store.place(COMMIT, &file)?;
    assert_eq!(fs::read_to_string(&name)?, "{}");
    Ok(())
}
