//! The files of a commit, as the hub lists them page by page, and as they are kept for later.

use std::path::{Component, Path};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use ureq::http::HeaderMap;
use ureq::http::header::LINK;

use crate::address::{Address, is_commit};
use crate::client::{Client, Failure};
use crate::content::is_blob;
use crate::error::Error;

/// More pages of a thousand files than any dataset has.
const MAX_PAGES: usize = 10_000;

/// What stays as it is in a part of a path.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The same for a whole path.
const PATH: &AsciiSet = &PART.remove(b'/');

/// One file of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listed {
    /// Path in the dataset, with `/` between its parts.
    pub path: String,
    /// Length, bytes.
    pub size: u64,
    /// Name of its content: see [`crate::content::Hash`].
    pub blob: String,
}

/// The commit that a revision is now.
pub(crate) fn commit_of(client: &Client, address: &Address) -> Result<Result<String, Failure>, Error> {
    #[derive(Deserialize)]
    struct Answer {
        sha: String,
    }
    let revision = utf8_percent_encode(address.revision(), PART);
    let text = match client.get_text(&format!("/api/datasets/{}/revision/{revision}?expand=sha", address.id())) {
        Ok((text, _)) => text,
        Err(failure) => return Ok(Err(failure)),
    };
    match serde_json::from_str::<Answer>(&text) {
        Ok(answer) if is_commit(&answer.sha) => Ok(Ok(answer.sha)),
        Ok(answer) => Err(nonsense(address, &format!("the commit '{}'", answer.sha))),
        Err(error) => Err(nonsense(address, &format!("something else than a commit ({error})"))),
    }
}

/// All files of a commit.
pub(crate) fn list(client: &Client, address: &Address, commit: &str) -> Result<Result<Vec<Listed>, Failure>, Error> {
    #[derive(Deserialize)]
    struct Entry {
        #[serde(rename = "type")]
        kind: String,
        path: String,
        oid: String,
        #[serde(default)]
        size: u64,
        lfs: Option<Large>,
    }
    #[derive(Deserialize)]
    struct Large {
        oid: String,
        size: u64,
    }
    let first = format!("/api/datasets/{}/tree/{commit}?recursive=true", address.id());
    let mut path = first.clone();
    let mut files = Vec::new();
    for _ in 0..MAX_PAGES {
        let (text, headers) = match client.get_text(&path) {
            Ok(page) => page,
            Err(failure) => return Ok(Err(failure)),
        };
        let entries: Vec<Entry> = serde_json::from_str(&text)
            .map_err(|error| nonsense(address, &format!("something else than a list of files ({error})")))?;
        for Entry { path, oid, size, lfs, .. } in entries.into_iter().filter(|entry| entry.kind == "file") {
            let (blob, size) = lfs.map_or((oid, size), |large| (large.oid, large.size));
            files.push(Listed { path, size, blob });
        }
        match next_page(&headers) {
            Some(cursor) => path = format!("{first}&cursor={cursor}"),
            None => return check(files).map(Ok).map_err(|found| nonsense(address, &found)),
        }
    }
    Err(nonsense(address, "a list of files without end"))
}

/// Refuses a list that would put anything outside of the folder that it is meant for.
pub(crate) fn check(files: Vec<Listed>) -> Result<Vec<Listed>, String> {
    for file in &files {
        let parts = Path::new(&file.path).components();
        let leads_out = file.path.is_empty()
            || file.path.contains(['\\', '\0'])
            || (cfg!(windows) && file.path.contains(':'))
            || !parts.into_iter().all(|part| matches!(part, Component::Normal(_)));
        if leads_out {
            return Err(format!("a file '{}', which leads out of the dataset", file.path.escape_debug()));
        }
        if !is_blob(&file.blob) {
            return Err(format!("'{}' as the hash of {}", file.blob.escape_debug(), file.path));
        }
    }
    Ok(files)
}

/// Where the content of a file is to be had.
pub(crate) fn place_of(address: &Address, commit: &str, file: &Listed) -> String {
    format!("/datasets/{}/resolve/{commit}/{}", address.id(), utf8_percent_encode(&file.path, PATH))
}

/// The cursor in `<https://…?cursor=ABC&…>; rel="next"`. The rest of the address is ours: a mirror may name another host.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let next = link.split(',').find(|link| link.contains("rel=\"next\""))?;
    let (_, query) = next.split_once('<')?.1.split_once('>')?.0.split_once('?')?;
    let cursor = query.split('&').find_map(|pair| pair.strip_prefix("cursor="))?;
    Some(cursor.to_owned())
}

fn nonsense(address: &Address, found: &str) -> Error {
    Error::NotToBeHad {
        asked: address.to_string(),
        found: format!("the hub names {found}"),
        remedy: "nothing was downloaded; check HF_ENDPOINT, and choose a dataset that can be trusted".to_owned(),
    }
}
