//! Builds shaders as C++ programs and hands them work.

use crate::Outcome;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Small enough to compile soon, quick enough to run; the sanitizers find what a GPU leaves
/// undefined. Signed and shifted integers and conversions are checked too, and the alignment of
/// what is read.
const FLAGS: [&str; 9] = [
    "-std=c++14",
    "-O1",
    "-g1",
    "-ffp-contract=off",
    "-fsanitize=address,alignment,bounds,shift,signed-integer-overflow,integer-divide-by-zero",
    "-fno-sanitize-recover=all",
    "-Wall",
    "-Wno-attributes",
    "-Wno-unused-function",
];

/// The folder of the shaders.
pub fn shaders() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../src-tauri/crates/kernels/src/metal/shaders")
}

/// The folder of the shim.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders/shim")
}

/// The text of a library of these files.
pub fn library(files: &[&str]) -> Outcome<String> {
    let read = |file: &str| {
        let path = shaders().join(file);
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let mut text = read("common.metal")?;
    for file in files {
        text.push('\n');
        text += &read(file)?;
    }
    Ok(text)
}

/// A kernel as its source declares it.
struct Declared {
    name: String,
    template: bool,
    /// Source and index of each parameter, as the shim spells them.
    bindings: Vec<String>,
}

/// Finds the kernels of a source and what their parameters' attributes say.
fn declared(source: &str) -> Outcome<Vec<Declared>> {
    const MARK: &str = "[[kernel]] void ";
    let mut kernels = Vec::new();
    for (at, _) in source.match_indices(MARK) {
        let text = &source[at + MARK.len()..];
        let (name, rest) = text.split_once('(').ok_or("a kernel without parameters")?;
        let (parameters, _) = rest.split_once(") {").ok_or("a kernel without a body")?;
        let mut bindings = Vec::new();
        let mut positions = Vec::new();
        for parameter in parameters.split(',') {
            let (declaration, attribute) = parameter
                .split_once("[[")
                .ok_or_else(|| format!("{name}: `{}` has no attribute", parameter.trim()))?;
            let attribute = attribute.trim().trim_end_matches("]]");
            let (attribute, index) = match attribute.split_once('(') {
                Some((attribute, index)) => (attribute, index.trim_end_matches(')')),
                None => (attribute, "0"),
            };
            let space = declaration.split_whitespace().next().unwrap_or_default();
            let source = match (attribute, space) {
                ("buffer", "device" | "constant") => "Buffer",
                ("threadgroup", "threadgroup") => "Threadgroup",
                ("thread_position_in_threadgroup", _) => "ThreadInGroup",
                ("threadgroup_position_in_grid", _) => "GroupInGrid",
                ("thread_position_in_grid", _) => "ThreadInGrid",
                ("threads_per_threadgroup", _) => "ThreadsPerGroup",
                ("thread_index_in_threadgroup", "uint") => "IndexInGroup",
                ("thread_index_in_simdgroup", "uint") => "LaneInSimdgroup",
                ("simdgroup_index_in_threadgroup", "uint") => "SimdgroupInGroup",
                ("simdgroups_per_threadgroup", "uint") => "SimdgroupsPerGroup",
                _ => {
                    let what = parameter.trim();
                    return Err(format!("{name}: `{what}` is nothing the shim knows").into());
                }
            };
            if matches!(
                source,
                "ThreadInGroup" | "GroupInGrid" | "ThreadInGrid" | "ThreadsPerGroup"
            ) {
                positions.push(space);
            }
            bindings.push(format!("{{shim::Source::{source}, {index}}}"));
        }
        // Metal wants positions and sizes in the grid to have as many dimensions as each other.
        if positions.iter().any(|space| *space != positions[0]) {
            return Err(format!("{name}: positions are {positions:?}").into());
        }
        kernels.push(Declared {
            name: name.to_owned(),
            template: source[..at].trim_end().ends_with('>'),
            bindings,
        });
    }
    Ok(kernels)
}

/// The C++ of a library.
pub fn translation(source: &str) -> Outcome<String> {
    let kernels = declared(source)?;
    let mut text = String::from("#include <metal_stdlib>\n");
    for kernel in &kernels {
        let (name, bindings) = (&kernel.name, kernel.bindings.join(", "));
        writeln!(
            text,
            "static const shim::Binding shim_bindings_{name}[] = {{{bindings}}};"
        )?;
    }
    // In an attribute the word is no address space, which the shim makes nothing of.
    let source = source.replace("[[threadgroup(", "[[threadgroup_memory(");
    writeln!(text, "#line 1 \"shader.metal\"\n{source}")?;
    text += "#ifndef SHIM_ADDRESS_SPACES\n";
    for kernel in kernels.iter().filter(|kernel| !kernel.template) {
        let name = &kernel.name;
        writeln!(
            text,
            "static shim::Register shim_register_{name}(\"{name}\", shim_bindings_{name}, &{name});"
        )?;
    }
    text += "#endif\n";
    Ok(text)
}

/// Runs the compiler unless what it made of the same input is still there.
fn compile(text: &str, stem: &str, suffix: &str, arguments: &[&str]) -> Outcome<PathBuf> {
    let mut hasher = DefaultHasher::new();
    let header = std::fs::read(folder().join("metal_stdlib"))?;
    (text, &header, arguments, FLAGS).hash(&mut hasher);
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shaders");
    std::fs::create_dir_all(&built)?;
    let result = built.join(format!("{stem}-{:016x}{suffix}", hasher.finish()));
    if result.exists() {
        return Ok(result);
    }
    // Under a name of its own: another test may build the same at this moment.
    let mut input = tempfile::Builder::new()
        .suffix(".cpp")
        .tempfile_in(&built)?;
    input.write_all(text.as_bytes())?;
    let output = tempfile::Builder::new()
        .tempfile_in(&built)?
        .into_temp_path();
    let compiled = Command::new("c++")
        .args(FLAGS)
        .arg("-I")
        .arg(folder())
        .arg(input.path())
        .args(arguments)
        .arg("-o")
        .arg(&output)
        .output()?;
    if !compiled.status.success() {
        let errors = String::from_utf8_lossy(&compiled.stderr).into_owned();
        return Err(format!("{stem} does not compile:\n{errors}").into());
    }
    output.persist(&result)?;
    Ok(result)
}

/// Builds the program of a library's source.
pub fn build(stem: &str, source: &str) -> Outcome<PathBuf> {
    let runtime = std::fs::read_to_string(folder().join("runtime.cpp"))?;
    let runtime = compile(&runtime, "runtime", ".o", &["-c"])?;
    let runtime = runtime.to_str().ok_or("a path that is not UTF-8")?;
    compile(&translation(source)?, stem, "", &["-x", "none", runtime])
}

/// Has clang check a library's source with address spaces as parts of types, the way Metal does:
/// a pointer handed to the wrong one is an error.
pub fn check_address_spaces(source: &str) -> Outcome<()> {
    let text = translation(source)?;
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shaders");
    std::fs::create_dir_all(&built)?;
    let mut input = tempfile::Builder::new()
        .suffix(".cpp")
        .tempfile_in(&built)?;
    input.write_all(text.as_bytes())?;
    for clang in ["clang", "clang-16"] {
        let checked = Command::new(clang)
            .args(["-std=c++14", "-fsyntax-only", "-DSHIM_ADDRESS_SPACES"])
            .args([
                "-Wall",
                "-Werror",
                "-Wno-unknown-attributes",
                "-Wno-ignored-attributes",
            ])
            .args(["-Wno-unused"])
            .arg("-I")
            .arg(folder())
            .arg(input.path())
            .output();
        return match checked {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => Err(error.into()),
            Ok(checked) if checked.status.success() => Ok(()),
            Ok(checked) => Err(String::from_utf8_lossy(&checked.stderr).into()),
        };
    }
    Err("there is no clang here; make setup-dev installs it".into())
}

/// One dispatch.
pub struct Dispatch<'a> {
    /// Name of the function.
    pub function: &'a str,
    /// Threadgroups.
    pub grid: [u32; 3],
    /// Threads of a group.
    pub threads: u32,
    /// Bytes of each piece of threadgroup memory.
    pub shared: &'a [usize],
}

/// A shader's program at work.
pub struct Program {
    process: Child,
    output: ChildStdout,
}

impl Program {
    pub fn start(path: &Path) -> Outcome<Self> {
        let mut process = Command::new(path)
            .env("ASAN_OPTIONS", "detect_leaks=0:abort_on_error=0")
            .env("UBSAN_OPTIONS", "print_stacktrace=1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("no output")?;
        Ok(Self { process, output })
    }

    /// Runs a dispatch over `buffers`; `order` draws the order of threads and groups. What the
    /// program says when it ends instead is the error.
    pub fn run(
        &mut self,
        dispatch: &Dispatch<'_>,
        order: u64,
        buffers: &mut [Vec<u8>],
    ) -> Outcome<()> {
        let mut request = Vec::new();
        let mut word = |value: u32| request.extend(value.to_le_bytes());
        word(dispatch.function.len() as u32);
        request.extend(dispatch.function.as_bytes());
        request.extend(order.to_le_bytes());
        for size in dispatch.grid.into_iter().chain([dispatch.threads, 1, 1]) {
            request.extend(size.to_le_bytes());
        }
        request.extend((buffers.len() as u32).to_le_bytes());
        for buffer in &*buffers {
            request.extend((buffer.len() as u64).to_le_bytes());
            request.extend(buffer);
        }
        request.extend((dispatch.shared.len() as u32).to_le_bytes());
        for size in dispatch.shared {
            request.extend((*size as u64).to_le_bytes());
        }
        let mut exchange = || {
            let input = self.process.stdin.as_mut().ok_or("no input")?;
            input.write_all(&request)?;
            input.flush()?;
            for buffer in &mut *buffers {
                self.output.read_exact(buffer)?;
            }
            Outcome::Ok(())
        };
        exchange().map_err(|error| {
            let mut said = String::new();
            if let Some(errors) = self.process.stderr.as_mut() {
                // What it said is more use than why that could not be read.
                let _ = errors.read_to_string(&mut said);
            }
            format!(
                "{}: {}",
                dispatch.function,
                if said.is_empty() {
                    error.to_string()
                } else {
                    said
                }
            )
            .into()
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It ends by itself when its input does; a test that failed midway does not wait for that.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
