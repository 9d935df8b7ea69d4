//! Which files reading takes, and reading from a folder of links, as caches of downloads are.

use serde_json::json;

use super::*;
use crate::lerobot::Needs;

/// Metadata with three cameras, one of them for depth.
fn three_cameras() -> Made {
    let made = Made::v3(&[(0, 4, 0), (1, 3, 1)]);
    for name in ["film", "side"] {
        made.set(&format!("/features/observation.images.{name}"), json!({"dtype": "video", "shape": [4, 4, 3]}));
    }
    let depth = json!({"dtype": "video", "shape": [4, 4, 1], "info": {"video.is_depth_map": true}});
    made.set("/features/observation.images.depth", depth);
    made
}

fn wanted(needs: &Needs) -> Vec<&'static str> {
    let files = [
        "README.md",
        "meta/info.json",
        "meta/episodes/chunk-000/file-000.parquet",
        "data/chunk-000/file-000.parquet",
        "datasheet/x.pdf",
        "videos/observation.images.film/chunk-000/file-000.mp4",
        "videos/observation.images.side/chunk-000/file-000.mp4",
        "videos/chunk-000/observation.images.side/episode_000000.mp4",
        "videos/observation.images.depth/chunk-000/file-000.mp4",
        "images/observation.images.top/episode_000000/frame_000000.png",
        "recorded/chunk-000.mp4",
    ];
    files.into_iter().filter(|file| needs.want(file)).collect()
}

#[test]
fn every_colour_camera_is_needed_or_only_those_chosen() -> Result<(), Error> {
    let made = three_cameras();
    let all = wanted(&Needs::of(&made.options())?);
    assert_eq!(
        all,
        [
            "meta/info.json",
            "meta/episodes/chunk-000/file-000.parquet",
            "data/chunk-000/file-000.parquet",
            "videos/observation.images.film/chunk-000/file-000.mp4",
            "videos/observation.images.side/chunk-000/file-000.mp4",
            "videos/chunk-000/observation.images.side/episode_000000.mp4",
            "images/observation.images.top/episode_000000/frame_000000.png",
        ]
    );
    let choose = |names: &[&str]| OpenOptions {
        cameras: Some(names.iter().map(|name| format!("observation.images.{name}")).collect()),
        ..made.options()
    };
    let film = wanted(&Needs::of(&choose(&["film"]))?);
    assert!(film.contains(&all[3]) && !film.contains(&all[4]) && !film.contains(&all[5]));
    assert_eq!(wanted(&Needs::of(&choose(&[]))?), [all[0], all[1], all[2], all[6]]);
    made.set("/video_path", json!("recorded/chunk-{chunk_index:03d}.mp4"));
    assert!(wanted(&Needs::of(&made.options())?).contains(&"recorded/chunk-000.mp4"));
    // Said before anything large is brought.
    assert!(matches!(Needs::of(&choose(&["none"])), Err(Error::MissingFeature { .. })));
    Ok(())
}

#[test]
fn what_the_list_names_and_is_not_there_is_missing() -> Result<(), Error> {
    let made = three_cameras();
    let film = OpenOptions { cameras: Some(vec!["observation.images.film".to_owned()]), ..made.options() };
    write_table(&made.root().join("data/chunk-000/file-000.parquet"), vec![("x", Arc::new(Int64Array::from(vec![0])))]);
    let (missing, all) = Needs::of(&film)?.missing();
    let missing: Vec<String> = missing.iter().map(|file| file.display().to_string()).collect();
    let video = |file| format!("videos/observation.images.film/chunk-000/file-00{file}.mp4");
    assert_eq!(missing, ["data/chunk-000/file-001.parquet".to_owned(), video(0), video(1)]);
    assert_eq!(all, 4);
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_folder_of_links_is_read_like_the_files_themselves() -> Result<(), Error> {
    let made = Made::v3(&[(0, 4, 0), (1, 3, 0)]);
    made.set("/features/observation.images.top", json!({"dtype": "image", "shape": [4, 4, 3], "names": null}));
    Rows::new(&[(0, 4), (1, 3)]).with_pictures().write(made.root(), "data/chunk-000/file-000.parquet");
    let linked = TempDir::new().expect("a temporary folder");
    let files = [
        "meta/info.json",
        "meta/tasks.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        "data/chunk-000/file-000.parquet",
    ];
    let blobs = linked.path().join("blobs");
    create_dir_all(&blobs).expect("writable");
    let root = linked.path().join("snapshots/abc");
    for (number, file) in files.iter().enumerate() {
        std::fs::copy(made.root().join(file), blobs.join(number.to_string())).expect("writable");
        create_dir_all(root.join(file).parent().expect("a file in a folder")).expect("writable");
        let up = "../".repeat(file.split('/').count() + 1);
        std::os::unix::fs::symlink(format!("{up}blobs/{number}"), root.join(file)).expect("links");
    }
    let (plain, through_links) =
        (made.open()?, Dataset::open(&OpenOptions { path: root, ..made.options() }, &mut |_| {})?);
    assert_eq!(through_links.skipped, []);
    assert_eq!(through_links.episodes, plain.episodes);
    assert_eq!(through_links.content_id, plain.content_id);
    assert_eq!(through_links.frame(0, 1, 2), plain.frame(0, 1, 2));
    Ok(())
}
