//! Integration tests that see every crate; the tests are in `tests/`, what they share is here.
