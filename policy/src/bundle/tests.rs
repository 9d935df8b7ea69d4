use super::*;

#[test]
fn a_bundle_of_another_format_says_so_and_not_which_field_it_lacks() {
    let dir = std::env::temp_dir().join(format!("rehearsal-bundle-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let words = |text: &str| {
        std::fs::write(dir.join("bundle.json"), text).expect("it can be written");
        Bundle::load(&dir, "cloned", &Device::default()).err().expect("no bundle of ours").to_string()
    };
    let old = words(r#"{"format_version": 6, "kind": "flow"}"#);
    assert!(old.ends_with("bundle.json: has format 6; expected format 7: make it again with this version"), "{old}");
    let torn = words(r#"{"format_version": 7, "kind": "flow"}"#);
    assert!(
        torn.contains("missing field") && torn.ends_with("expected a bundle description of this version"),
        "{torn}"
    );
    assert!(words("{}").ends_with("expected a bundle description"));
    std::fs::remove_dir_all(&dir).expect("it was made");
}

#[test]
fn the_same_weights_are_the_same_bytes() {
    let path = std::env::temp_dir().join(format!("rehearsal-weights-{}.safetensors", std::process::id()));
    let policy = FlowPolicy::new(&FlowConfig { width: 8, ..FlowConfig::default() }, 4, 2, &Device::default());
    let bytes = || {
        save_weights(&policy, &path).expect("saved");
        std::fs::read(&path).expect("read")
    };
    let first = bytes();
    assert!((0..8).all(|_| bytes() == first));
    std::fs::remove_file(&path).expect("it was made");
}
