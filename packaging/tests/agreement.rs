//! What stands in several places must say the same.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use attune_packaging::bill;
use serde_json::Value;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)).unwrap()
}

fn json(name: &str) -> Value {
    serde_json::from_str(&read(name)).unwrap()
}

/// The workspace's version is the one; what cannot read it must follow it.
#[test]
fn there_is_one_version() {
    let version = bill::version(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
    assert_eq!(
        json("src-tauri/tauri.conf.json").get("version"),
        None,
        "Tauri takes Cargo's"
    );
    assert_eq!(json("package.json")["version"], *version);
    assert_eq!(
        json("package-lock.json")["packages"][""]["version"],
        *version
    );
    assert_eq!(env!("CARGO_PKG_VERSION"), version);
    let metadata = read("packaging/linux/org.attune.studio.metainfo.xml");
    let newest = metadata.split("<release version=\"").nth(1).unwrap();
    assert_eq!(newest.split('"').next().unwrap(), version);
}

/// macOS and Linux open the same kinds of files with Attune.
#[test]
fn desktops_offer_attune_for_what_it_imports() {
    let entry = read("packaging/linux/org.attune.studio.desktop");
    let list = entry
        .lines()
        .find_map(|line| line.strip_prefix("MimeType="))
        .unwrap();
    let linux: BTreeSet<&str> = list.split(';').filter(|kind| !kind.is_empty()).collect();
    let configuration = json("src-tauri/tauri.conf.json");
    let associations = configuration["bundle"]["fileAssociations"]
        .as_array()
        .unwrap();
    let kinds = associations
        .iter()
        .map(|kind| kind["mimeType"].as_str().unwrap());
    let mut mac: BTreeSet<&str> = kinds.collect();
    // The older name of JSON lines, which Linux still gives to files.
    mac.insert("application/x-ndjson");
    assert_eq!(linux, mac);
}
