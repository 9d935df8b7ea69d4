//! Which commit, which copy, and what is said where there is none.

use std::fs;

use super::server::{Hub, Server};
use super::{COMMIT, LATER, Outcome, Place, assert_whole, complaint, files, is_data};

#[test]
fn a_revision_is_a_branch_a_tag_or_a_commit() -> Outcome {
    let place = Place::new()?;
    let mut changed = files();
    changed.insert("meta/info.json".to_owned(), b"{\"later\": true}".to_vec());
    place.server.hub().commits.insert(LATER.to_owned(), changed);
    place.server.hub().revisions.insert("v3.0".to_owned(), LATER.to_owned());
    place.server.hub().revisions.insert("refs/convert/parquet".to_owned(), LATER.to_owned());

    let main = place.fetch("hub:me/tiny")?;
    assert_eq!(main.pinned().map(|address| address.to_string()), Some(format!("hub:me/tiny@{COMMIT}")));
    assert_eq!(main.source().as_deref(), Some("hub:me/tiny@11111111"));
    place.server.asked();
    for revision in ["v3.0", "refs/convert/parquet"] {
        let there = place.fetch(&format!("hub:me/tiny@{revision}"))?;
        assert_eq!(there.pinned().map(|address| address.to_string()), Some(format!("hub:me/tiny@{LATER}")));
        assert_eq!(fs::read_to_string(there.folder().join("meta/info.json"))?, "{\"later\": true}");
        assert_eq!(fs::read_to_string(place.repo().join("refs").join(revision))?, LATER);
    }
    let files_asked = place.server.asked().iter().filter(|path| path.contains("resolve")).count();
    assert_eq!(files_asked, 1, "only one file differs, and what two commits share is downloaded once");
    let exact = place.fetch(&format!("hub:me/tiny@{COMMIT}"))?;
    assert_eq!(exact.folder(), main.folder());
    Ok(())
}

#[test]
fn what_moved_on_is_read_anew_and_a_pinned_commit_stays() -> Outcome {
    let place = Place::new()?;
    let pinned = place.fetch("hub:me/tiny")?.pinned().ok_or("a commit is known")?.to_string();
    place.server.hub().commits.insert(LATER.to_owned(), files());
    place.server.hub().revisions.insert("main".to_owned(), LATER.to_owned());
    assert!(place.fetch("hub:me/tiny")?.folder().ends_with(LATER));
    place.server.asked();
    assert!(place.fetch(&pinned)?.folder().ends_with(COMMIT));
    assert!(place.server.asked().is_empty(), "a pinned commit that is here needs no network");
    Ok(())
}

#[test]
fn a_listing_comes_in_pages() -> Outcome {
    let place = Place::new()?;
    place.server.hub().page = 2;
    assert_whole(place.fetch("hub:me/tiny")?.folder())
}

#[test]
fn what_does_not_exist_is_one_message() -> Outcome {
    let place = Place::new()?;
    let hub = place.server.endpoint();
    assert_eq!(
        complaint(place.find("hub:me/other")),
        format!(
            "hub:me/other: {hub} has no dataset me/other at revision main (404: Repository not found); check the spelling; \
             a private dataset needs a token in HF_TOKEN"
        )
    );
    assert_eq!(
        complaint(place.find("hub:me/tiny@v9")),
        format!(
            "hub:me/tiny@v9: the dataset me/tiny has no revision v9 ({hub} answers 404: Invalid rev id); see its branches \
             and tags on the hub, or leave @REVISION out"
        )
    );
    assert!(complaint(place.find(&format!("hub:me/tiny@{LATER}"))).contains("has no revision 2222"));
    assert!(!place.repo().exists(), "nothing is left of what does not exist");
    Ok(())
}

#[test]
fn a_private_dataset_asks_for_a_token_and_takes_it() -> Outcome {
    let mut place = Place::new()?;
    place.server.hub().token = Some("hf_right".to_owned());
    let words = complaint(place.find("hub:me/tiny"));
    assert!(
        words.contains("(401: Invalid username or password.)") && words.contains("needs a token in HF_TOKEN"),
        "{words}"
    );
    place.settings.token = Some("hf_wrong".to_owned());
    let words = complaint(place.find("hub:me/tiny"));
    assert!(words.contains("the token in use may not read") && !words.contains("hf_wrong"), "{words}");
    place.settings.token = Some("hf_right".to_owned());
    assert_whole(place.fetch("hub:me/tiny")?.folder())
}

#[test]
fn the_token_is_for_the_hub_alone() -> Outcome {
    let mut place = Place::new()?;
    place.settings.token = Some("hf_secret".to_owned());
    let contents = Hub { commits: place.server.hub().commits.clone(), ..Hub::default() };
    // Another address of this machine is another host; not every system has one.
    let Ok(elsewhere) = Server::start("127.0.0.2", contents) else { return Ok(()) };
    place.server.hub().elsewhere = Some(elsewhere.endpoint());
    assert_whole(place.fetch("hub:me/tiny")?.folder())?;
    let asked = &elsewhere.hub().asked;
    assert!(asked.len() == 2 && asked.iter().all(|(_, _, authorization)| authorization.is_empty()));
    assert!(place.server.hub().asked.iter().all(|(_, _, authorization)| authorization == "Bearer hf_secret"));
    Ok(())
}

#[test]
fn without_network_a_complete_copy_is_read_and_said() -> Outcome {
    let mut place = Place::new()?;
    place.fetch("hub:me/tiny")?;
    place.server.hub().is_down = true;
    let copy = place.fetch("hub:me/tiny")?;
    let note = copy.note().unwrap_or_default();
    assert!(
        note.contains("cannot be reached") && note.ends_with("reading the copy of commit 11111111 in the cache"),
        "{note}"
    );
    assert_whole(copy.folder())?;
    place.settings.is_offline = true;
    place.server.hub().is_down = false;
    place.server.asked();
    assert_whole(place.fetch("hub:me/tiny")?.folder())?;
    assert!(place.fetch(&format!("hub:me/tiny@{COMMIT}"))?.note().is_none(), "a pinned commit needs no excuse");
    assert!(place.server.asked().is_empty());
    Ok(())
}

#[test]
fn without_network_an_incomplete_copy_is_refused() -> Outcome {
    let mut place = Place::new()?;
    place.settings.is_offline = true;
    assert_eq!(
        complaint(place.find("hub:me/tiny")),
        format!(
            "hub:me/tiny: HF_HUB_OFFLINE is set, and {} holds no copy of main; run the same command again with a connection",
            place.repo().display()
        )
    );
    place.settings.is_offline = false;
    let snapshot = place.find("hub:me/tiny")?;
    snapshot.fetch(&|path| path.starts_with("meta/"), &|| false, &mut |_, _| {})?;
    snapshot.remember()?;
    place.settings.is_offline = true;
    let words = complaint(place.fetch("hub:me/tiny"));
    assert!(words.contains("lacks 2 of 4 files, e.g. data/chunk-000/file 000.parquet"), "{words}");
    Ok(())
}

#[test]
fn a_copy_that_python_made_is_read_without_network() -> Outcome {
    let mut place = Place::new()?;
    let folder = place.fetch("hub:me/tiny")?.folder().to_path_buf();
    fs::remove_dir_all(place.repo().join(".listings"))?;
    place.server.asked();
    let again = place.fetch("hub:me/tiny")?;
    assert!(!again.is_unlisted() && place.server.asked().iter().all(|path| !path.contains("resolve")));
    // Newer versions leave a list.
    fs::rename(place.repo().join(".listings"), place.repo().join("trees"))?;
    place.settings.is_offline = true;
    assert!(!place.fetch("hub:me/tiny")?.is_unlisted());
    fs::remove_dir_all(place.repo().join("trees"))?;
    let copy = place.fetch("hub:me/tiny")?;
    assert!(copy.is_unlisted() && copy.folder() == folder);
    Ok(())
}

#[test]
fn lerobot_s_own_copy_comes_first_unless_a_revision_is_named() -> Outcome {
    let place = Place::new()?;
    let own = place.dir.path().join("lerobot/me/tiny");
    fs::create_dir_all(own.join("meta"))?;
    fs::write(own.join("meta/info.json"), "{}")?;
    let copy = place.find("hub:me/tiny")?;
    copy.fetch(&is_data, &|| false, &mut |_, _| {})?;
    assert_eq!((copy.folder(), copy.pinned(), copy.source()), (own.as_path(), None, None));
    assert!(copy.note().is_some_and(|note| note.contains("as it is")));
    assert!(place.server.asked().is_empty());
    assert!(place.find("hub:me/tiny@main")?.folder().starts_with(&place.settings.cache_dir));
    Ok(())
}
