//! `docs/DAMAGE.md` names a test for every kind of damage; here they are looked for.

use std::path::Path;

/// Rust sources below a folder.
fn sources(folder: &Path, into: &mut String) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, into)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push_str(&std::fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

#[test]
fn every_test_named_in_the_table_of_damage_exists() -> std::io::Result<()> {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(crate_root.join("../docs/DAMAGE.md"))?;
    let mut code = String::new();
    sources(&crate_root.join("src"), &mut code)?;
    sources(&crate_root.join("tests"), &mut code)?;
    sources(&crate_root.join("../hub/src"), &mut code)?;
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ") && line.contains('`')).collect();
    assert!(rows.len() > 25, "the table has only {} rows", rows.len());
    for row in rows {
        let last = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
        let named: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test in: {row}");
        for test in named {
            assert!(
                code.contains(&format!("#[test]\n    fn {test}()")) || code.contains(&format!("#[test]\nfn {test}()")),
                "{test} is no test"
            );
        }
    }
    Ok(())
}
