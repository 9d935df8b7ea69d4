//! What a file must hold: its length and its hash, which is also the name of its blob.

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

/// Whether a text can be the name of a blob: git's hash of a small file, or the SHA-256 of a large one.
pub(crate) fn is_blob(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The hash of a file, fed piece by piece.
pub(crate) struct Hash(Context);

impl Hash {
    /// For a file of `size` bytes that is to end up as `blob`.
    pub fn new(blob: &str, size: u64) -> Hash {
        if blob.len() == 64 {
            return Hash(Context::new(&SHA256));
        }
        // Files in git itself go by git's hash, which is of a header and the content.
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        context.update(format!("blob {size}\0").as_bytes());
        Hash(context)
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The name of the blob that all bytes together make.
    pub fn name(&self) -> String {
        self.0.clone().finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_git_s_and_sha256() {
        // `echo hello | git hash-object --stdin` and `echo hello | sha256sum`
        let small = "ce013625030ba8dba906f756967f9e9ca394464a";
        let large = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        for blob in [small, large] {
            let mut hash = Hash::new(blob, 6);
            hash.update(b"hel");
            hash.update(b"lo\n");
            assert_eq!(hash.name(), blob);
            assert!(is_blob(blob));
        }
        assert!(!is_blob("../../../../../../../../../../../../../x") && !is_blob(&small[1..]));
    }
}
