//! `hub:owner/name@revision`, as users write it wherever a dataset's path is taken.

use std::fmt;
use std::path::{Component, Path};
use std::str::FromStr;

use crate::error::Error;

const SCHEME: &str = "hub:";

/// The branch that is read where no revision is named.
const DEFAULT_REVISION: &str = "main";

/// Longest owner or name, characters: the hub's own limit.
const MAX_NAME: usize = 96;

/// A dataset on the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// User or organisation.
    pub owner: String,
    /// Name of the dataset.
    pub name: String,
    /// Branch, tag or commit; `None` for whatever is there, first of all a local copy.
    pub revision: Option<String>,
}

impl Address {
    /// The address that stands in the place of a path; `None` where it is a path.
    ///
    /// # Errors
    /// [`Error::BadAddress`] if it begins with `hub:` and does not go on as an address.
    pub fn from_path(path: &Path) -> Option<Result<Address, Error>> {
        path.to_str().filter(|text| text.starts_with(SCHEME)).map(str::parse)
    }

    /// `owner/name`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// The revision to ask for.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(DEFAULT_REVISION)
    }

    /// The revision, where it names a commit in full and can therefore not move.
    pub fn commit(&self) -> Option<&str> {
        self.revision.as_deref().filter(|revision| is_commit(revision))
    }

    /// Whether a folder of a cache holds this dataset; at any commit, unless the revision is (the beginning of) one.
    pub fn owns(&self, folder: &Path) -> bool {
        let mut parts = folder.iter().filter_map(|part| part.to_str()).skip_while(|part| *part != self.folder_name());
        let (_, snapshots, commit) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
        snapshots == Some("snapshots") && self.revision.as_ref().is_none_or(|revision| commit.starts_with(revision))
    }

    /// The name of the dataset's folder in a cache.
    pub(crate) fn folder_name(&self) -> String {
        format!("datasets--{}--{}", self.owner, self.name)
    }

    /// The same dataset at another revision.
    pub fn at(&self, revision: &str) -> Address {
        Address { revision: Some(revision.to_owned()), ..self.clone() }
    }
}

/// Whether a text is a complete commit hash.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.owner, self.name)?;
        self.revision.as_ref().map_or(Ok(()), |revision| write!(f, "@{revision}"))
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Address, Error> {
        let bad = |found: String| Error::BadAddress { text: text.to_owned(), found };
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| bad(format!("does not begin with '{SCHEME}'")))?;
        let (id, revision) = match rest.split_once('@') {
            Some((id, revision)) => (id, Some(revision)),
            None => (rest, None),
        };
        let (owner, name) = id.split_once('/').ok_or_else(|| bad(format!("'{id}' names no owner")))?;
        for part in [owner, name] {
            if !is_name(part) {
                return Err(bad(format!("'{part}' is no name on the hub")));
            }
        }
        if let Some(revision) = revision.filter(|revision| !is_revision(revision)) {
            return Err(bad(format!("'{revision}' is no revision")));
        }
        Ok(Address { owner: owner.to_owned(), name: name.to_owned(), revision: revision.map(str::to_owned) })
    }
}

/// Names become folders of the cache, `--` between them: nothing may be read out of them that was not put in.
fn is_name(text: &str) -> bool {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let ends = |c: char| matches!(c, '-' | '.');
    let is_long = text.len() > MAX_NAME;
    plain && !text.is_empty() && !is_long && !text.starts_with(ends) && !text.ends_with(ends) && !text.contains("--")
}

/// Revisions become paths below `refs/`.
fn is_revision(text: &str) -> bool {
    let plain = |c: char| !(c.is_control() || c.is_whitespace() || "\\:?*[~^<>|\"".contains(c));
    let stays_inside = Path::new(text).components().all(|part| matches!(part, Component::Normal(_)));
    !text.is_empty() && text.chars().all(plain) && stays_inside && !text.ends_with('/') && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_as_they_are_written() -> Result<(), Error> {
        for text in ["hub:lerobot/pusht", "hub:a_b/c.d-e@v3.0", "hub:o/n@refs/convert/parquet"] {
            assert_eq!(text.parse::<Address>()?.to_string(), text);
        }
        let address: Address = "hub:lerobot/pusht".parse()?;
        assert_eq!((address.id().as_str(), address.revision(), address.commit()), ("lerobot/pusht", "main", None));
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(address.at(commit).commit(), Some(commit));
        Ok(())
    }

    #[test]
    fn a_path_is_no_address_and_a_bad_address_is_no_path() {
        assert!(Address::from_path(Path::new("data/hub:x/y")).is_none());
        assert!(Address::from_path(Path::new("./hub:x/y")).is_none());
        let wrong = [
            "hub:",
            "hub:x",
            "hub:x/",
            "hub:/x",
            "hub://x/y",
            "hub:x/y/z",
            "hub:../x",
            "hub:x/..",
            "hub:x/y@",
            "hub:a--b/c",
            "hub:x/y@../../z",
            "hub:x/y@/etc",
            "hub:x/y@a b",
            "hub:x/y@a//",
            "hub:x/y@c:d",
            "hub:x y/z",
        ];
        for text in wrong {
            assert!(matches!(Address::from_path(Path::new(text)), Some(Err(Error::BadAddress { .. }))), "{text}");
        }
    }

    #[test]
    fn a_folder_of_the_cache_belongs_to_its_address() -> Result<(), Error> {
        let folder = Path::new("/c/hub/datasets--me--tiny/snapshots/0123abcd");
        for (text, owns) in
            [("hub:me/tiny", true), ("hub:me/tiny@0123", true), ("hub:me/tiny@9", false), ("hub:me/tin", false)]
        {
            assert_eq!(text.parse::<Address>()?.owns(folder), owns, "{text}");
        }
        assert!(!"hub:me/tiny".parse::<Address>()?.owns(Path::new("/data/tiny")));
        Ok(())
    }

    #[test]
    fn a_bad_address_says_what_is_wrong_with_it() {
        assert_eq!(
            "hub:pusht".parse::<Address>().expect_err("no owner").to_string(),
            "'hub:pusht': 'pusht' names no owner; expected hub:OWNER/NAME or hub:OWNER/NAME@REVISION (a branch, tag or \
             commit)"
        );
    }
}
