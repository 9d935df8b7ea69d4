//! A stand-in for the hub on loopback: the few requests that are made of it, and every way in which it may fail.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;

use crate::content::Hash;

/// What is on the hub, how it behaves, and what it was asked.
#[derive(Default)]
pub struct Hub {
    /// `owner/name`.
    pub id: String,
    /// Commits by branch or tag.
    pub revisions: BTreeMap<String, String>,
    /// Files by commit and path.
    pub commits: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Files at least so long are large: named by SHA-256 and redirected.
    pub large_from: usize,
    /// Files per page of a listing.
    pub page: usize,
    /// Who may ask; everybody where there is none.
    pub token: Option<String>,
    /// Large files lie at this address rather than here.
    pub elsewhere: Option<String>,
    /// Answer nothing.
    pub is_down: bool,
    /// Answer everything with 503 so many times.
    pub busy: usize,
    /// Break off the next answers with a file's content after so many bytes.
    pub cuts: Vec<usize>,
    /// Send so many wrong answers with files' content.
    pub lies: usize,
    /// Send whole files whatever is asked.
    pub ignores_ranges: bool,
    /// Entries of every listing that the hub should not have.
    pub odd_entries: Vec<serde_json::Value>,
    /// Requests so far: path, range, authorization.
    pub asked: Vec<(String, String, String)>,
}

/// A running stand-in; ends with the test.
pub struct Server {
    hub: Arc<Mutex<Hub>>,
    address: SocketAddr,
}

impl Server {
    /// Starts to answer for `hub` at an address of this machine.
    pub fn start(host: &str, hub: Hub) -> Result<Server, std::io::Error> {
        let listener = TcpListener::bind((host, 0))?;
        let address = listener.local_addr()?;
        let hub = Arc::new(Mutex::new(hub));
        let shared = hub.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                // A client that goes away is part of the tests.
                std::thread::spawn(move || answer(stream, &shared));
            }
        });
        Ok(Server { hub, address })
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out the paths asked for since the last time.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.hub().asked).into_iter().map(|(path, ..)| path).collect()
    }
}

/// The name of a content's blob.
pub fn blob(content: &[u8], is_large: bool) -> String {
    let mut hash = Hash::new(if is_large { SOME_SHA256 } else { "" }, content.len() as u64);
    hash.update(content);
    hash.name()
}

const SOME_SHA256: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

struct Answer {
    status: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Send only so much of the body.
    cut: usize,
}

impl Answer {
    fn new(status: &'static str, body: Vec<u8>) -> Answer {
        Answer { status, headers: Vec::new(), body, cut: usize::MAX }
    }

    fn refusal(status: &'static str, code: &str, words: &str) -> Answer {
        let headers = vec![("X-Error-Code", code.to_owned()), ("X-Error-Message", words.to_owned())];
        Answer { headers, ..Answer::new(status, Vec::new()) }
    }
}

fn answer(mut stream: TcpStream, hub: &Mutex<Hub>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let (mut range, mut authorization) = (String::new(), String::new());
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("range") => range = value.to_owned(),
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => authorization = value.to_owned(),
            _ => {}
        }
    }
    let answer = {
        let mut hub = hub.lock().unwrap_or_else(PoisonError::into_inner);
        if hub.is_down {
            return None;
        }
        hub.asked.push((path.clone(), range.clone(), authorization.clone()));
        hub.answer(&path, &range, &authorization)
    };
    let mut head = format!("HTTP/1.1 {}\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", answer.body.len()));
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&answer.body[..answer.body.len().min(answer.cut)]).ok()
}

impl Hub {
    fn answer(&mut self, path: &str, range: &str, authorization: &str) -> Answer {
        if self.busy > 0 {
            self.busy -= 1;
            return Answer::refusal("503 Service Unavailable", "", "too busy");
        }
        // The content of large files is signed rather than protected.
        if let Some(blob) = path.strip_prefix("/large/") {
            let all = self.commits.values().flat_map(BTreeMap::values);
            let content = all.into_iter().find(|content| self::blob(content, true) == blob).cloned();
            return content.map_or_else(|| Answer::new("404 Not Found", Vec::new()), |c| self.content(c, range));
        }
        if self.token.as_ref().is_some_and(|token| authorization != format!("Bearer {token}")) {
            return Answer::refusal("401 Unauthorized", "RepoNotFound", "Invalid username or password.");
        }
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let id = self.id.clone();
        if let Some(revision) = path.strip_prefix(&format!("/api/datasets/{id}/revision/")) {
            let revision = revision.replace("%2F", "/");
            return match self.revisions.get(&revision) {
                Some(sha) => Answer::new("200 OK", json!({ "sha": sha }).to_string().into_bytes()),
                None => Answer::refusal("404 Not Found", "RevisionNotFound", "Invalid rev id"),
            };
        }
        if let Some(commit) = path.strip_prefix(&format!("/api/datasets/{id}/tree/")) {
            return self.listing(commit, query);
        }
        if let Some(rest) = path.strip_prefix(&format!("/datasets/{id}/resolve/")) {
            let found = rest.split_once('/').and_then(|(commit, file)| {
                let file = file.replace("%20", " ");
                self.commits.get(commit)?.get(&file).cloned()
            });
            return match found {
                Some(content) if content.len() >= self.large_from => {
                    let to = format!("{}/large/{}", self.elsewhere.clone().unwrap_or_default(), blob(&content, true));
                    Answer { headers: vec![("Location", to)], ..Answer::new("302 Found", Vec::new()) }
                }
                Some(content) => self.content(content, range),
                None => Answer::refusal("404 Not Found", "EntryNotFound", "Entry not found"),
            };
        }
        Answer::refusal("404 Not Found", "RepoNotFound", "Repository not found")
    }

    fn listing(&self, commit: &str, query: &str) -> Answer {
        let Some(files) = self.commits.get(commit) else {
            return Answer::refusal("404 Not Found", "RevisionNotFound", "Invalid rev id");
        };
        let mut entries = vec![json!({ "type": "directory", "oid": "", "size": 0, "path": "meta" })];
        entries.extend(self.odd_entries.iter().cloned());
        for (path, content) in files {
            let size = content.len();
            let mut entry = json!({ "type": "file", "oid": blob(content, false), "size": size, "path": path });
            if size >= self.large_from {
                entry["lfs"] = json!({ "oid": blob(content, true), "size": size, "pointerSize": 131 });
            }
            entries.push(entry);
        }
        let from: usize = query.split("cursor=").nth(1).and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        let to = (from + self.page).min(entries.len());
        let mut answer = Answer::new("200 OK", json!(entries[from..to]).to_string().into_bytes());
        if to < entries.len() {
            let link = format!("<https://elsewhere.example/api/tree?recursive=true&cursor={to}>; rel=\"next\"");
            answer.headers.push(("Link", link));
        }
        answer
    }

    fn content(&mut self, mut content: Vec<u8>, range: &str) -> Answer {
        if self.lies > 0 {
            self.lies -= 1;
            content.fill(b'?');
        }
        let from = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')?.parse().ok()).unwrap_or(0);
        let mut answer = match from {
            0 => Answer::new("200 OK", content),
            _ if self.ignores_ranges => Answer::new("200 OK", content),
            _ if from >= content.len() => Answer::new("416 Range Not Satisfiable", Vec::new()),
            _ => {
                let whole = content.len();
                let mut answer = Answer::new("206 Partial Content", content[from..].to_vec());
                answer.headers.push(("Content-Range", format!("bytes {from}-{}/{whole}", whole - 1)));
                answer
            }
        };
        answer.cut = self.cuts.pop().unwrap_or(usize::MAX);
        answer
    }
}
