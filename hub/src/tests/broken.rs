//! Broken connections, servers that lie, full disks.

use std::fs;

use serde_json::json;

use super::server::blob;
use super::{Outcome, Place, VIDEO, assert_whole, complaint, files, is_data, names};

#[test]
fn a_cut_connection_is_continued_where_it_broke() -> Outcome {
    let place = Place::new()?;
    let snapshot = place.find("hub:me/tiny")?;
    place.server.hub().cuts = vec![70_000, 100_000];
    place.server.hub().asked.clear();
    snapshot.fetch(&|path| path == VIDEO, &|| false, &mut |_, _| {})?;
    let hub = place.server.hub();
    let ranges: Vec<&str> =
        hub.asked.iter().filter(|(path, ..)| path.contains("/large/")).map(|(_, range, _)| range.as_str()).collect();
    assert_eq!(ranges, ["", "bytes=100000-", "bytes=170000-"]);
    assert_eq!(fs::read(snapshot.folder().join(VIDEO))?, files()[VIDEO]);
    Ok(())
}

#[test]
fn a_server_that_knows_no_ranges_sends_it_all_again() -> Outcome {
    let place = Place::new()?;
    place.server.hub().ignores_ranges = true;
    place.server.hub().cuts = vec![100_000; 2];
    assert_whole(place.fetch("hub:me/tiny")?.folder())
}

#[test]
fn what_an_earlier_time_left_is_used_only_where_it_fits() -> Outcome {
    let place = Place::new()?;
    let blobs = place.repo().join("blobs");
    let part = blobs.join(format!("{}.incomplete", blob(&files()[VIDEO], true)));
    for left in [vec![b'?'; 1000], vec![b'?'; 300_000], vec![b'?'; 400_000], files()[VIDEO][..5].to_vec()] {
        let _ = fs::remove_dir_all(place.repo());
        fs::create_dir_all(&blobs)?;
        fs::write(&part, left)?;
        assert_whole(place.fetch("hub:me/tiny")?.folder())?;
    }
    Ok(())
}

#[test]
fn content_that_is_not_what_was_promised_never_gets_its_name() -> Outcome {
    let place = Place::new()?;
    let snapshot = place.find("hub:me/tiny")?;
    let only_video = |path: &str| path == VIDEO;
    place.server.hub().lies = 2;
    let words = complaint(snapshot.fetch(&only_video, &|| false, &mut |_, _| {}));
    assert!(words.contains(VIDEO) && words.contains("another content than its hash"), "{words}");
    assert_eq!(names(&place.repo().join("blobs")), [format!("{}.incomplete", blob(&files()[VIDEO], true))]);
    place.server.hub().lies = 1;
    snapshot.fetch(&is_data, &|| false, &mut |_, _| {})?;
    assert_whole(snapshot.folder())
}

#[test]
fn a_busy_hub_is_asked_again_and_a_dead_one_given_up() -> Outcome {
    let place = Place::new()?;
    place.server.hub().busy = 2;
    let snapshot = place.find("hub:me/tiny")?;
    place.server.hub().busy = 4;
    snapshot.fetch(&|path| path.starts_with("meta/"), &|| false, &mut |_, _| {})?;
    place.server.hub().is_down = true;
    let words = complaint(snapshot.fetch(&is_data, &|| false, &mut |_, _| {}));
    assert!(words.contains("cannot be reached") && words.contains("run the same command again"), "{words}");
    Ok(())
}

#[test]
fn a_list_that_leads_out_of_the_dataset_is_refused() -> Outcome {
    let place = Place::new()?;
    let hash = blob(b"x", false);
    for path in ["../x", "/etc/x", "meta/../../x", "", "meta\\x", "./x"] {
        place.server.hub().odd_entries = vec![json!({ "type": "file", "oid": hash, "size": 1, "path": path })];
        let words = complaint(place.find("hub:me/tiny"));
        assert!(words.contains("leads out of the dataset; nothing was downloaded"), "{path}: {words}");
    }
    for oid in ["../../../../x", "", &hash.to_uppercase()] {
        place.server.hub().odd_entries = vec![json!({ "type": "file", "oid": oid, "size": 1, "path": "meta/x" })];
        let words = complaint(place.find("hub:me/tiny"));
        assert!(words.contains("as the hash of meta/x"), "{oid}: {words}");
    }
    place.server.hub().odd_entries.clear();
    place.server.hub().revisions.insert("main".to_owned(), "../../x".to_owned());
    assert!(complaint(place.find("hub:me/tiny")).contains("the commit '../../x'"));
    assert!(!place.settings.cache_dir.exists());
    Ok(())
}

#[test]
fn what_is_no_hub_is_said_to_be_none() -> Outcome {
    let place = Place::new()?;
    place.server.hub().odd_entries = vec![json!("a string")];
    assert!(complaint(place.find("hub:me/tiny")).contains("something else than a list of files"));
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_one_message_with_its_path() -> Outcome {
    let place = Place::new()?;
    let blobs = place.repo().join("blobs");
    fs::create_dir_all(&blobs)?;
    let part = blobs.join(format!("{}.incomplete", blob(&files()[VIDEO], true)));
    std::os::unix::fs::symlink("/dev/full", &part)?;
    let words = complaint(place.fetch("hub:me/tiny"));
    assert!(words.starts_with(&format!("no space left to write {}", part.display())), "{words}");
    Ok(())
}
