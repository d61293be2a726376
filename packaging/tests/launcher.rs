//! The launcher in front of two builds, one of which links libraries as the CUDA build does: stand-ins
//! for the driver, cuBLAS and cuRAND, because a machine that tests need not have them.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

const LIBRARIES: [&str; 3] = ["libcuda.so.1", "libcublas.so.12", "libcurand.so.10"];

/// One test at a time: a program being written cannot be started, and a process that another test
/// is just starting holds what was open for writing here for a moment longer.
static ALONE: Mutex<()> = Mutex::new(());

struct Installed {
    folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Installed {
    fn new() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        let place = Self {
            folder,
            _alone: alone,
        };
        let programs = place.path("usr/lib/attune");
        fs::create_dir_all(&programs).unwrap();
        fs::create_dir_all(place.path("usr/bin")).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_attune-launch"), programs.join("launch")).unwrap();
        symlink("../lib/attune/launch", place.path("usr/bin/attune")).unwrap();
        place.program("attune", "cpu", &[]);
        let libraries = place.path("driver");
        fs::create_dir_all(&libraries).unwrap();
        for name in LIBRARIES {
            let entry = name.split('.').next().unwrap().replace("lib", "");
            let source = place.path("library.c");
            fs::write(&source, format!("int {entry}(void) {{ return 0; }}\n")).unwrap();
            let soname = format!("-Wl,-soname,{name}");
            compile(
                &["-shared", "-fPIC", &soname, "-o"],
                &libraries.join(name),
                &source,
                &[],
            );
        }
        let linked: Vec<PathBuf> = LIBRARIES.iter().map(|name| libraries.join(name)).collect();
        place.program("attune-cuda", "cuda", &linked);
        place
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// A program that says which build it is and what it was given.
    fn program(&self, name: &str, build: &str, linked: &[PathBuf]) {
        let calls = if linked.is_empty() {
            "0"
        } else {
            "cuda() + cublas() + curand()"
        };
        let source = self.path("program.c");
        let text = format!(
            "#include <stdio.h>\nint cuda(void); int cublas(void); int curand(void);\n\
             int main(int count, char **given) {{ printf(\"{build} %s %s\\n\", given[0], count > 1 ? given[1] : \"\"); return {calls}; }}\n"
        );
        fs::write(&source, text).unwrap();
        compile(
            &["-o"],
            &self.path("usr/lib/attune").join(name),
            &source,
            linked,
        );
    }

    fn start(&self, set: &[(&str, &str)]) -> (String, String) {
        let mut command = Command::new(self.path("usr/bin/attune"));
        command.env_clear().arg("list").envs(set.iter().copied());
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    }
}

fn compile(flags: &[&str], to: &Path, source: &Path, linked: &[PathBuf]) {
    let mut command = Command::new("cc");
    command.args(flags).arg(to).arg(source).args(linked);
    assert!(command.status().unwrap().success());
}

#[test]
fn the_cuda_build_starts_where_its_libraries_are_and_else_the_cpu_build() {
    let place = Installed::new();
    let cpu = "cpu attune list\n".to_owned();
    let cuda = "cuda attune list\n".to_owned();
    let driver = place.path("driver");
    let driver = driver.to_str().unwrap();

    assert_eq!(
        place.start(&[]),
        (cpu.clone(), String::new()),
        "no driver is no news"
    );
    assert_eq!(
        place.start(&[("LD_LIBRARY_PATH", driver)]),
        (cuda.clone(), String::new())
    );
    let forced = place.start(&[("LD_LIBRARY_PATH", driver), ("ATTUNE_DEVICE", "cpu")]);
    assert_eq!(forced, (cpu.clone(), String::new()));

    // Whoever asks for CUDA is told what is missing.
    fs::remove_file(place.path("driver/libcurand.so.10")).unwrap();
    let (said, why) = place.start(&[("LD_LIBRARY_PATH", driver), ("ATTUNE_DEVICE", "cuda")]);
    assert_eq!(said, cpu);
    assert!(why.contains("libcurand.so.10"), "{why}");

    // A toolkit that the linker was not told of.
    fs::create_dir_all(place.path("toolkit/lib64")).unwrap();
    for name in LIBRARIES {
        let from = place.path("driver").join(name);
        if from.exists() {
            fs::rename(from, place.path("toolkit/lib64").join(name)).unwrap();
        }
    }
    let source = place.path("library.c");
    let to = place.path("toolkit/lib64/libcurand.so.10");
    compile(
        &["-shared", "-fPIC", "-Wl,-soname,libcurand.so.10", "-o"],
        &to,
        &source,
        &[],
    );
    let toolkit = place.path("toolkit");
    assert_eq!(
        place.start(&[("CUDA_HOME", toolkit.to_str().unwrap())]).0,
        cuda
    );
}

/// A program that is there and breaks off at once, as one whose driver is too old for it does.
#[test]
fn a_cuda_build_that_does_not_start_gives_way() {
    let place = Installed::new();
    let broken = place.path("usr/lib/attune/attune-cuda");
    fs::write(&broken, "not a program").unwrap();
    assert_eq!(place.start(&[]).0, "cpu attune list\n");
}
