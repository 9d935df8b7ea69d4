//! The files of a commit, as the hub lists them page by page, and as they are kept for later.

use std::collections::BTreeMap;
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

/// Version of [`Tree`] on disk, which is Python's to raise.
const FORMAT_VERSION: u32 = 1;

/// One file of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Path in the dataset, with `/` between its parts.
    pub path: String,
    /// Length, bytes.
    pub size: u64,
    /// Name of its content: see [`crate::content::Hash`].
    pub blob: String,
}

/// All files of a commit, in the form in which Python's `huggingface_hub` keeps them too.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Tree {
    format_version: u32,
    files: BTreeMap<String, Entry>,
}

/// What is kept of a file.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    size: u64,
    /// Git's hash, of large files that of a stand-in.
    blob_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lfs_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lfs_size: Option<u64>,
    /// Of no use here, and a quicker way for Python.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    xet_hash: Option<String>,
}

impl Tree {
    /// The files, in the order of their paths.
    ///
    /// # Errors
    /// In words, a file that would lie outside of the folder it is meant for; another version of the form.
    pub fn files(&self) -> Result<Vec<Listed>, String> {
        if self.format_version != FORMAT_VERSION {
            return Err(format!("version {} of a list of files", self.format_version));
        }
        let listed = self.files.iter().map(|(path, entry)| Listed {
            path: path.clone(),
            size: entry.lfs_size.unwrap_or(entry.size),
            blob: entry.lfs_sha256.as_ref().unwrap_or(&entry.blob_id).clone(),
        });
        check(listed.collect())
    }
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

/// Asks for all files of a commit; none of them leads out of the folder it is meant for.
pub(crate) fn list(client: &Client, address: &Address, commit: &str) -> Result<Result<Tree, Failure>, Error> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "type")]
        kind: String,
        path: String,
        oid: String,
        #[serde(default)]
        size: u64,
        lfs: Option<Large>,
        #[serde(rename = "xetHash")]
        xet_hash: Option<String>,
    }
    #[derive(Deserialize)]
    struct Large {
        oid: String,
        size: u64,
    }
    let first = format!("/api/datasets/{}/tree/{commit}?recursive=true", address.id());
    let mut path = first.clone();
    let mut tree = Tree { format_version: FORMAT_VERSION, files: BTreeMap::new() };
    for _ in 0..MAX_PAGES {
        let (text, headers) = match client.get_text(&path) {
            Ok(page) => page,
            Err(failure) => return Ok(Err(failure)),
        };
        let answers: Vec<Answer> = serde_json::from_str(&text)
            .map_err(|error| nonsense(address, &format!("something else than a list of files ({error})")))?;
        for Answer { path, oid, size, lfs, xet_hash, .. } in answers.into_iter().filter(|a| a.kind == "file") {
            let (lfs_sha256, lfs_size) = lfs.map(|large| (large.oid, large.size)).unzip();
            tree.files.insert(path, Entry { size, blob_id: oid, lfs_sha256, lfs_size, xet_hash });
        }
        match next_page(&headers) {
            Some(cursor) => path = format!("{first}&cursor={cursor}"),
            None => return tree.files().map(|_| Ok(tree)).map_err(|found| nonsense(address, &found)),
        }
    }
    Err(nonsense(address, "a list of files without end"))
}

/// Refuses a list that would put anything outside of the folder that it is meant for.
fn check(files: Vec<Listed>) -> Result<Vec<Listed>, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_kept_in_python_s_form() -> Result<(), serde_json::Error> {
        let (git, sha256) = ("a".repeat(40), "b".repeat(64));
        let text = format!(
            r#"{{"format_version":1,"files":{{"data/x":{{"size":131,"blob_id":"{git}","lfs_sha256":"{sha256}","lfs_size":9}},"meta/info.json":{{"size":3,"blob_id":"{git}"}}}}}}"#
        );
        let tree: Tree = serde_json::from_str(&text)?;
        let listed = |path: &str, size, blob: &str| Listed { path: path.to_owned(), size, blob: blob.to_owned() };
        assert_eq!(tree.files(), Ok(vec![listed("data/x", 9, &sha256), listed("meta/info.json", 3, &git)]));
        assert_eq!(serde_json::to_string(&tree)?, text);
        let later: Tree = serde_json::from_str(&text.replace(":1,\"files", ":2,\"files"))?;
        assert!(later.files().is_err());
        Ok(())
    }
}
