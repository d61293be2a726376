//! What accompanies a package: what is in it (CycloneDX), where it comes from (an in-toto
//! statement), and its checksum.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::payload::Payload;
use crate::{At, Error, Result, tree};

/// The one version number: the workspace's, in the root `Cargo.toml`.
pub fn version(source: &Path) -> Result<String> {
    let manifest = source.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).at("cannot read", &manifest)?;
    let package = text.split("[workspace.package]").nth(1).unwrap_or_default();
    package
        .lines()
        .take_while(|line| !line.starts_with('['))
        .find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
        .map(str::to_owned)
        .ok_or_else(|| {
            Error::new(format!(
                "{} names no version of the workspace",
                manifest.display()
            ))
        })
}

/// Writes `SHA256SUMS`, and beside each of `packages` its bill of materials and its provenance.
pub fn write(source: &Path, out: &Path, packages: &[PathBuf]) -> Result<String> {
    let version = version(source)?;
    let components = components(source)?;
    let mut sums = String::new();
    let mut said = String::new();
    for package in packages {
        let name = package
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let digest = digest(package)?;
        let bill = bill_of(&name, &version, &digest, &components);
        let provenance = provenance(source, &name, &digest)?;
        for (ending, value) in [("cdx.json", bill), ("provenance.json", provenance)] {
            let file = out.join(format!("{name}.{ending}"));
            let text = serde_json::to_string_pretty(&value)
                .map_err(|error| Error::new(format!("cannot write {}: {error}", file.display())))?;
            tree::write(&file, &format!("{text}\n"))?;
            sums.push_str(&format!("{}  {name}.{ending}\n", self::digest(&file)?));
            said.push_str(&format!("{}\n", file.display()));
        }
        sums.push_str(&format!("{digest}  {name}\n"));
    }
    let file = out.join("SHA256SUMS");
    tree::write(&file, &sums)?;
    Ok(format!("{said}{}\n", file.display()))
}

fn digest(path: &Path) -> Result<String> {
    let mut file = File::open(path).at("cannot read", path)?;
    let payload = Payload::of(&mut file, 0).at("cannot read", path)?;
    Ok(hex(&payload.digest))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bill_of(name: &str, version: &str, digest: &str, components: &[Value]) -> Value {
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": name,
                "version": version,
                "hashes": [{ "alg": "SHA-256", "content": digest }],
                "licenses": [{ "license": { "id": "Apache-2.0" } }],
            }
        },
        "components": components,
    })
}

/// Every crate and every npm package that the locks name for a build, with the hash there.
fn components(source: &Path) -> Result<Vec<Value>> {
    let read = |name: &str| {
        let file = source.join(name);
        fs::read_to_string(&file).at("cannot read", &file)
    };
    let licences: Value = parsed(
        "licences.json",
        &read("src-tauri/crates/studio/assets/licences.json")?,
    )?;
    let mut components = Vec::new();
    for package in read("Cargo.lock")?.split("[[package]]").skip(1) {
        let field = |name: &str| {
            package.lines().find_map(|line| {
                line.strip_prefix(name)?
                    .strip_prefix(" = \"")?
                    .strip_suffix('"')
            })
        };
        // Without a checksum it is one of ours.
        let (Some(name), Some(version), Some(checksum)) =
            (field("name"), field("version"), field("checksum"))
        else {
            continue;
        };
        components.push(component(
            "cargo",
            name,
            version,
            licence(&licences, name),
            &json!([{ "alg": "SHA-256", "content": checksum }]),
        ));
    }
    let lock: Value = parsed("package-lock.json", &read("package-lock.json")?)?;
    for (path, package) in lock["packages"].as_object().into_iter().flatten() {
        // What only builds and tests is not in the package, but the pages are made of some of it.
        let Some((_, name)) = path.rsplit_once("node_modules/") else {
            continue;
        };
        let version = package["version"].as_str().unwrap_or_default();
        let hashes: Vec<Value> = package["integrity"]
            .as_str()
            .and_then(|integrity| integrity.strip_prefix("sha512-"))
            .and_then(|hash| STANDARD.decode(hash).ok())
            .map(|bytes| json!({ "alg": "SHA-512", "content": hex(&bytes) }))
            .into_iter()
            .collect();
        components.push(component(
            "npm",
            name,
            version,
            package["license"].as_str(),
            &json!(hashes),
        ));
    }
    Ok(components)
}

fn component(
    kind: &str,
    name: &str,
    version: &str,
    licence: Option<&str>,
    hashes: &Value,
) -> Value {
    let name_in_url = name.replace('@', "%40");
    let mut component = json!({
        "type": "library",
        "bom-ref": format!("pkg:{kind}/{name_in_url}@{version}"),
        "name": name,
        "version": version,
        "purl": format!("pkg:{kind}/{name_in_url}@{version}"),
        "hashes": hashes,
    });
    if let Some(licence) = licence {
        component["licenses"] = json!([{ "expression": licence }]);
    }
    component
}

/// The licence of a crate in the list that the window shows, whatever its shape is.
fn licence<'a>(list: &'a Value, name: &str) -> Option<&'a str> {
    match list {
        Value::Array(items) => items.iter().find_map(|item| licence(item, name)),
        Value::Object(fields) => {
            if fields.get("name").and_then(Value::as_str) == Some(name) {
                let said = fields.get("licence").or_else(|| fields.get("license"));
                return said.and_then(Value::as_str);
            }
            fields.values().find_map(|value| licence(value, name))
        }
        _ => None,
    }
}

fn parsed(name: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| Error::new(format!("{name} is broken: {error}")))
}

/// From what and by whom the package was made, as SLSA 1.0 has it.
fn provenance(source: &Path, name: &str, digest: &str) -> Result<Value> {
    let commit = git(source, &["rev-parse", "HEAD"]);
    let mut dependencies = vec![json!({ "uri": "git:HEAD", "digest": { "gitCommit": commit } })];
    for file in ["Cargo.lock", "packaging/Cargo.lock", "package-lock.json"] {
        let sha256 = self::digest(&source.join(file))?;
        dependencies.push(json!({ "uri": format!("file:{file}"), "digest": { "sha256": sha256 } }));
    }
    let changed = git(source, &["status", "--porcelain"]).is_none_or(|changes| !changes.is_empty());
    let environment = |name| std::env::var(name).ok();
    let runner = environment("GITHUB_RUN_ID").map(|run| {
        let server = environment("GITHUB_SERVER_URL").unwrap_or_default();
        let repository = environment("GITHUB_REPOSITORY").unwrap_or_default();
        format!("{server}/{repository}/actions/runs/{run}")
    });
    Ok(json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": name, "digest": { "sha256": digest } }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://github.com/attune/attune/packaging/v1",
                "externalParameters": { "target": "make package" },
                "internalParameters": { "rustc": tool("rustc"), "sourceChanged": changed },
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": { "id": runner.clone().unwrap_or_else(|| "a developer's machine".into()) },
                "metadata": { "invocationId": runner },
            }
        }
    }))
}

fn git(source: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(source)
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn tool(name: &str) -> Option<String> {
    let output = Command::new(name).arg("--version").output().ok()?;
    String::from_utf8(output.stdout)
        .ok()
        .map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn source() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn a_bill_has_every_locked_crate_with_its_hash() {
        let components = components(&source()).unwrap();
        let find = |name: &str| {
            components
                .iter()
                .find(|component| component["name"] == name)
                .unwrap()
        };
        let candle = find("candle-core");
        assert_eq!(candle["hashes"][0]["content"].as_str().unwrap().len(), 64);
        assert!(
            candle["licenses"][0]["expression"]
                .as_str()
                .unwrap()
                .contains("Apache-2.0")
        );
        let svelte = find("svelte");
        assert_eq!(svelte["hashes"][0]["content"].as_str().unwrap().len(), 128);
        let ours = components
            .iter()
            .any(|component| component["name"] == "attune-engine");
        assert!(!ours && components.len() > 500, "{}", components.len());
    }

    #[test]
    fn checksums_and_provenance_name_the_package() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("attune_1_amd64.deb");
        fs::write(&package, "abc").unwrap();
        write(&source(), folder.path(), std::slice::from_ref(&package)).unwrap();
        let sums = fs::read_to_string(folder.path().join("SHA256SUMS")).unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(
            sums.contains(&format!("{abc}  attune_1_amd64.deb\n")),
            "{sums}"
        );
        let text =
            fs::read_to_string(folder.path().join("attune_1_amd64.deb.provenance.json")).unwrap();
        let statement: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(statement["subject"][0]["digest"]["sha256"], abc);
        assert!(statement["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"]["gitCommit"].is_string());
    }
}
