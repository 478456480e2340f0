use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

fn image(files: FileTree) -> Image {
    Image {
        name: "localhost/example:1".to_owned(),
        files,
        start: Start {
            entrypoint: vec!["/usr/local/bin/example".to_owned()],
            user: NONROOT,
            ..Start::default()
        },
    }
}

fn program(folder: &Path, name: &str, content: &str) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, content).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
    file
}

/// The files of an archive, or of a layer inside, by path.
fn entries(archive: &[u8]) -> BTreeMap<String, (Vec<u8>, u32, u64)> {
    let mut entries = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        let header = entry.header();
        let facts = (header.mode().unwrap(), header.mtime().unwrap());
        let path = entry.path().unwrap().display().to_string();
        entries.insert(path, (bytes, facts.0, facts.1));
    }
    entries
}

#[test]
fn the_same_files_are_the_same_image_wherever_and_whenever_they_were_made() {
    let folder = tempfile::tempdir().unwrap();
    let write = |place: &str, order: [&str; 2]| {
        let place = folder.path().join(place);
        fs::create_dir_all(&place).unwrap();
        let mut files = FileTree::default();
        for name in order {
            let source = program(&place, name, name);
            files.program(&format!("/usr/local/bin/{name}"), &source);
        }
        let archive = image(files).write(&place.join("image.tar")).unwrap();
        (archive.digest, fs::read(archive.path).unwrap())
    };
    let first = write("here", ["one", "two"]);
    // A second later, in another order, from another place: files then have other times.
    let later = std::time::SystemTime::now() - std::time::Duration::from_hours(100);
    let second = write("there", ["two", "one"]);
    let touched = fs::File::open(folder.path().join("there/one")).unwrap();
    touched.set_modified(later).unwrap();
    let third = {
        let mut files = FileTree::default();
        for name in ["one", "two"] {
            files.program(
                &format!("/usr/local/bin/{name}"),
                &folder.path().join("there").join(name),
            );
        }
        let archive = image(files)
            .write(&folder.path().join("third.tar"))
            .unwrap();
        (archive.digest, fs::read(archive.path).unwrap())
    };
    assert!(first == second && second == third, "the bytes differ");
}

#[test]
fn other_content_is_another_image() {
    let folder = tempfile::tempdir().unwrap();
    let digest = |content: &str| {
        let mut files = FileTree::default();
        files.text("/etc/example", content);
        let file = folder.path().join("image.tar");
        image(files).write(&file).unwrap().digest
    };
    assert_ne!(digest("one"), digest("two"));
}

#[test]
fn all_documents_name_the_digests_of_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = FileTree::default();
    let source = program(folder.path(), "example", "a program");
    files.program("/usr/local/bin/example", &source);
    files.link("/usr/local/bin/other", "example");
    files.folder("/tmp", 0o1777);
    let archive = image(files)
        .write(&folder.path().join("image.tar"))
        .unwrap();

    let blobs = entries(&fs::read(&archive.path).unwrap());
    for (path, (bytes, _, _)) in &blobs {
        if let Some(name) = path.strip_prefix("blobs/sha256/") {
            let hash = <sha2::Sha256 as sha2::Digest>::digest(bytes);
            assert_eq!(name, hex::encode(hash));
        }
    }
    let json = |path: &str| -> serde_json::Value {
        serde_json::from_slice(&blobs[&path.replace("sha256:", "blobs/sha256/")].0).unwrap()
    };
    let index = json("index.json");
    let listed = &index["manifests"][0];
    assert_eq!(listed["digest"], archive.digest);
    assert_eq!(
        listed["annotations"]["io.containerd.image.name"],
        "localhost/example:1"
    );
    let manifest = json(&archive.digest);
    let config = json(manifest["config"]["digest"].as_str().unwrap());
    assert_eq!(config["config"]["User"], "65532:65532");
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    assert_eq!(config["rootfs"]["diff_ids"][0], layer);

    let layer = entries(&blobs[&layer.replace("sha256:", "blobs/sha256/")].0);
    let paths: Vec<&str> = layer.keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "tmp/",
            "usr/",
            "usr/local/",
            "usr/local/bin/",
            "usr/local/bin/example",
            "usr/local/bin/other"
        ]
    );
    let (bytes, mode, time) = &layer["usr/local/bin/example"];
    assert_eq!(
        (bytes.as_slice(), *mode, *time),
        (&b"a program"[..], 0o755, 0)
    );
    assert_eq!(layer["tmp/"].1, 0o1777);
}

#[test]
fn the_image_of_our_programs_has_all_of_them_and_no_shell() {
    let folder = tempfile::tempdir().unwrap();
    program(folder.path(), contents::BUNDLE, "a static program");
    let image = contents::activity_core("activity-core:1", folder.path()).unwrap();
    let paths: Vec<&str> = image.files.iter().map(|(path, _)| path).collect();
    for name in [
        "actcore",
        "actcore-api",
        "actcore-event-router",
        "actcore-operator",
        "actcore-worker",
        "kubectl-actcore",
    ] {
        let path = format!("/usr/local/bin/{name}");
        assert!(
            paths.contains(&path.as_str()),
            "{name} is missing: {paths:?}"
        );
    }
    assert!(!paths.iter().any(|path| path.ends_with("/sh")), "{paths:?}");
    assert_eq!(image.start.user, NONROOT);

    fs::remove_file(folder.path().join(contents::BUNDLE)).unwrap();
    let error = contents::activity_core("activity-core:1", folder.path()).unwrap_err();
    assert!(
        error.to_string().contains("activity-core is not built"),
        "{error}"
    );
}
