//! The list of licences names every library that the lock files name.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use attune_studio::api::Licence;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// Name and version of every crate that comes from elsewhere.
fn crates() -> BTreeSet<(String, String)> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let field = |package: &str, name: &str| {
        package.lines().find_map(|line| {
            let value = line.strip_prefix(&format!("{name} = "))?;
            Some(value.trim_matches('"').to_owned())
        })
    };
    lock.split("[[package]]")
        .filter(|package| package.contains("\nsource = "))
        .filter_map(|package| Some((field(package, "name")?, field(package, "version")?)))
        .collect()
}

/// Name, version and licence of what the window's pages are made of: the libraries that Vite
/// bundles, not the tools that build and test.
fn pages() -> Vec<Licence> {
    const BUNDLED: [&str; 8] = [
        "@fontsource-variable/inter",
        "@fontsource-variable/jetbrains-mono",
        "@lucide/svelte",
        "@tauri-apps/api",
        "@tauri-apps/plugin-dialog",
        "bits-ui",
        "svelte",
        "uplot",
    ];
    let lock = std::fs::read_to_string(root().join("package-lock.json")).unwrap();
    let lock: Value = serde_json::from_str(&lock).unwrap();
    // What they bring along is bundled too.
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut waiting: Vec<String> = BUNDLED.map(str::to_owned).to_vec();
    while let Some(name) = waiting.pop() {
        let needs = &lock["packages"][format!("node_modules/{name}")]["dependencies"];
        waiting.extend(needs.as_object().into_iter().flat_map(|needs| {
            let new = needs.keys().filter(|need| !names.contains(*need));
            new.cloned().collect::<Vec<_>>()
        }));
        names.insert(name);
    }
    names
        .iter()
        .map(|name| {
            let package = &lock["packages"][format!("node_modules/{name}")];
            let text = |key: &str| package[key].as_str().unwrap_or("unknown").to_owned();
            Licence {
                name: name.clone(),
                version: text("version"),
                licence: text("license"),
            }
        })
        .collect()
}

fn generate() -> Vec<Licence> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--all-features",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let known = crates();
    let mut licences: Vec<Licence> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| Licence {
            name: package["name"].as_str().unwrap().to_owned(),
            version: package["version"].as_str().unwrap().to_owned(),
            licence: package["license"]
                .as_str()
                .unwrap_or("see its files")
                .to_owned(),
        })
        .filter(|one| known.contains(&(one.name.clone(), one.version.clone())))
        .chain(pages())
        .collect();
    licences.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    licences
}

#[test]
fn generated_licences() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/licences.json");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let lines: Vec<String> = generate()
            .iter()
            .map(|licence| serde_json::to_string(licence).unwrap())
            .collect();
        std::fs::write(&path, format!("[\n{}\n]\n", lines.join(",\n"))).unwrap();
    }
    let listed: Vec<Licence> =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let listed: BTreeSet<(String, String)> = listed
        .into_iter()
        .map(|one| (one.name, one.version))
        .collect();
    let wanted: BTreeSet<(String, String)> = crates()
        .into_iter()
        .chain(pages().into_iter().map(|one| (one.name, one.version)))
        .collect();
    let missing: Vec<_> = wanted.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&wanted).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "run `make generated`: missing {missing:?}, gone {gone:?}"
    );
}
