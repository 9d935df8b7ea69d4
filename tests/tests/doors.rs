//! The dependency tables of ARCHITECTURE.md, held against `cargo metadata`, and what the tests alone may ask of what is compiled for all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

type Error = Box<dyn std::error::Error>;

/// Names per row: what a table allows, or what is there.
type Edges = BTreeMap<String, BTreeSet<String>>;

/// What is read of `cargo metadata`. By hand: the crate for it asks more of serde_json, camino and semver than anything else here, and the tensor
/// stack and rerun would be compiled once for the tests and once more for the command.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`, or none for what is linked.
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

/// A package with what it depends on here.
#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDependency>,
}

#[derive(Deserialize)]
struct NodeDependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

impl Metadata {
    fn workspace_packages(&self) -> Vec<&Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id)).collect()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie one below the root")
}

/// What cargo says, asked in the root.
fn cargo(args: &[&str]) -> Result<String, Error> {
    let told = Command::new(env!("CARGO")).args(args).arg("--locked").current_dir(root()).output()?;
    assert!(told.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&told.stderr));
    Ok(String::from_utf8(told.stdout)?)
}

fn metadata() -> Result<Metadata, Error> {
    // Only this machine's platform: the packages of others need not have been downloaded.
    let rustc = Command::new("rustc").arg("-vV").output()?;
    let words = String::from_utf8(rustc.stdout)?;
    let host = words.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc names no host")?;
    Ok(serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--filter-platform", host])?)?)
}

/// A member's name in the house is its directory's (`cli`, not `rehearsal`).
fn house_name(package: &Package) -> String {
    let dir = package.manifest_path.parent().and_then(|dir| dir.file_name()).unwrap_or_default();
    dir.to_string_lossy().into_owned()
}

/// The backticked names of a table's first two columns, between `<!-- table: NAME -->` and `<!-- end -->`.
fn table(name: &str) -> Result<Edges, Error> {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md"))?;
    let begin = format!("<!-- table: {name} -->");
    let body = page.split(&begin).nth(1).and_then(|rest| rest.split("<!-- end -->").next());
    let body = body.ok_or_else(|| format!("ARCHITECTURE.md has no '{begin}' … '<!-- end -->'"))?;
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let mut rows = Edges::new();
    for line in body.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').collect();
        let key = names(cells[1]).pop().ok_or_else(|| format!("no name in '{line}'"))?;
        rows.insert(key, names(cells[2]).into_iter().collect());
    }
    assert!(!rows.is_empty(), "the table '{name}' in ARCHITECTURE.md has no rows");
    Ok(rows)
}

/// Edges between members, of the kinds asked for.
fn edges(metadata: &Metadata, development: bool) -> Edges {
    let members = metadata.workspace_packages();
    let names: BTreeMap<String, String> =
        members.iter().map(|package| (package.name.to_string(), house_name(package))).collect();
    let inside = |package: &Package| {
        package
            .dependencies
            .iter()
            .filter(|dependency| (dependency.kind.as_deref() == Some("dev")) == development)
            .filter_map(|dependency| names.get(&dependency.name).cloned())
            .collect()
    };
    members.iter().map(|package| (house_name(package), inside(package))).collect()
}

#[test]
fn crates_depend_on_each_other_as_the_table_says() -> Result<(), Error> {
    let (drawn, real) = (table("crates")?, edges(&metadata()?, false));
    let mut wrong = Vec::new();
    for name in drawn.keys().chain(real.keys()).collect::<BTreeSet<_>>() {
        match (drawn.get(name), real.get(name)) {
            (Some(_), None) => wrong.push(format!("{name} is in the table, but is no member")),
            (None, Some(_)) => wrong.push(format!("{name} is a member, but not in the table")),
            (Some(drawn), Some(real)) => {
                wrong.extend(real.difference(drawn).map(|to| format!("{name} → {to} is not in the table")));
                wrong.extend(drawn.difference(real).map(|to| format!("{name} → {to} is in the table alone")));
            }
            (None, None) => {}
        }
    }
    assert!(wrong.is_empty(), "ARCHITECTURE.md and the manifests differ:\n  {}", wrong.join("\n  "));
    Ok(())
}

#[test]
fn only_the_tests_have_development_dependencies_in_the_house() -> Result<(), Error> {
    for (name, to) in edges(&metadata()?, true) {
        assert!(name == "tests" || to.is_empty(), "{name} has development dependencies in the house: {to:?}");
    }
    Ok(())
}

#[test]
fn outside_crates_stay_behind_their_walls() -> Result<(), Error> {
    let (walls, metadata) = (table("walls")?, metadata()?);
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let name = house_name(package);
        for dependency in package.dependencies.iter().filter(|_| name != "tests") {
            if let Some(only) = walls.get(&dependency.name).filter(|only| !only.contains(&name)) {
                wrong.push(format!("{name} names {}, which belongs in {only:?}", dependency.name));
            }
        }
    }
    for (outside, only) in &walls {
        for name in only {
            let used = metadata
                .workspace_packages()
                .iter()
                .any(|p| house_name(p) == *name && p.dependencies.iter().any(|d| d.name == *outside));
            if !used {
                wrong.push(format!("the wall around {outside} is stale: {name} does not use it"));
            }
        }
    }
    assert!(wrong.is_empty(), "walls of ARCHITECTURE.md are broken:\n  {}", wrong.join("\n  "));
    Ok(())
}

#[test]
fn what_a_robot_links_stays_small() -> Result<(), Error> {
    let metadata = metadata()?;
    let nodes: BTreeMap<&String, &Node> = metadata.resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let packages: BTreeMap<&String, &Package> = metadata.packages.iter().map(|p| (&p.id, p)).collect();
    let there: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    for (name, forbidden) in table("robot")? {
        let unknown: Vec<&String> = forbidden.iter().filter(|f| !there.contains(f.as_str())).collect();
        assert!(unknown.is_empty(), "nobody uses {unknown:?}; is the table 'robot' misspelt?");
        let members = metadata.workspace_packages();
        let start = members.iter().find(|p| house_name(p) == name).ok_or(format!("no member {name}"))?;
        let mut seen = BTreeSet::from([&start.id]);
        let mut open = vec![&start.id];
        while let Some(id) = open.pop() {
            for dependency in &nodes[id].deps {
                let at_run_time = dependency.dep_kinds.iter().any(|k| k.kind.is_none());
                if at_run_time && seen.insert(&dependency.pkg) {
                    open.push(&dependency.pkg);
                }
            }
        }
        let reached: BTreeSet<String> = seen.iter().map(|id| packages[*id].name.to_string()).collect();
        let wrong: Vec<&String> = forbidden.intersection(&reached).collect();
        assert!(wrong.is_empty(), "{name} reaches {wrong:?}, which no robot should have to link");
    }
    Ok(())
}

/// A feature that only tests ask for makes another crate of it, and of everything above it.
#[test]
fn crates_are_the_same_for_the_tests_as_for_the_command() -> Result<(), Error> {
    let with = |edges: &str| -> Result<BTreeSet<String>, Error> {
        let told = cargo(&["tree", "--workspace", "--edges", edges, "--prefix", "none", "--format", "{p} with {f}"])?;
        Ok(told.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect())
    };
    let (command, tests) = (with("normal")?, with("normal,dev")?);
    let others: Vec<&String> = command.difference(&tests).collect();
    assert!(others.is_empty(), "compiled once more for the tests, with other features: {others:#?}");
    Ok(())
}
