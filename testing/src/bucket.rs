//! A bucket for one test.

use std::path::Path;

use futures::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::server::{Keys, S3Server, wait};

/// A new bucket, removed with all that is in it when this is dropped.
pub struct Bucket {
    /// Its server.
    pub server: S3Server,
    /// Its name.
    pub name: String,
}

impl Bucket {
    /// Makes a bucket with a name that is not used twice.
    ///
    /// # Panics
    /// When there is no server, or it makes none.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it asks a server")]
    pub fn new() -> Self {
        let bucket = Self::imaginary();
        bucket.put_empty("");
        bucket
    }

    /// A bucket that is not there.
    ///
    /// # Panics
    /// When there is no server.
    #[must_use]
    pub fn imaginary() -> Self {
        let name = format!("quickchat-{}", uuid::Uuid::now_v7().simple());
        Self { server: S3Server::from_environment(), name }
    }

    /// `s3://<bucket>/<path>`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("s3://{}/{path}", self.name)
    }

    /// The variables by which a process reaches the bucket, by way of `endpoint`.
    #[must_use]
    pub fn environment(&self, endpoint: &str, keys: &Keys) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("AWS_ENDPOINT_URL", endpoint.to_owned()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", keys.id.clone()),
            ("AWS_SECRET_ACCESS_KEY", keys.secret.clone()),
        ];
        variables.extend(keys.token.clone().map(|token| ("AWS_SESSION_TOKEN", token)));
        variables
    }

    /// The variables of the owner, without any way round.
    #[must_use]
    pub fn owner(&self) -> Vec<(&'static str, String)> {
        self.environment(&self.server.endpoint, &self.server.keys)
    }

    /// What a client of one's own is built from, by way of `endpoint`.
    #[must_use]
    pub fn builder(&self, endpoint: &str) -> AmazonS3Builder {
        AmazonS3Builder::new()
            .with_bucket_name(&self.name)
            .with_endpoint(endpoint)
            .with_allow_http(true)
            .with_access_key_id(&self.server.keys.id)
            .with_secret_access_key(&self.server.keys.secret)
    }

    /// A client of the owner.
    #[must_use]
    pub fn store(&self) -> AmazonS3 {
        self.builder(&self.server.endpoint).build().unwrap()
    }

    /// Puts an object.
    pub fn put(&self, key: &str, content: &[u8]) {
        let store = self.store();
        wait(async { store.put(&ObjectPath::parse(key).unwrap(), content.to_vec().into()).await }).unwrap();
    }

    /// Puts the object that consoles make for a folder, whose key ends in a slash.
    pub fn put_marker(&self, key: &str) {
        self.put_empty(&format!("/{key}"));
    }

    /// Puts nothing at a path, which `object_store` would change.
    fn put_empty(&self, path: &str) {
        let (status, answer) = self.server.ask("s3", "PUT", &format!("/{}{path}", self.name), "");
        assert_eq!(status, 200, "{path} cannot be put into the bucket {}: {answer}", self.name);
    }

    /// The names of all objects, sorted.
    #[must_use]
    pub fn objects(&self) -> Vec<String> {
        let store = self.store();
        wait(async move { store.list(None).map_ok(|object| object.location.to_string()).try_collect().await.unwrap() })
    }

    /// The names of uploads in parts that were neither completed nor aborted.
    #[must_use]
    pub fn open_uploads(&self) -> Vec<String> {
        let (status, answer) = self.server.ask("s3", "GET", &format!("/{}?uploads=", self.name), "");
        assert_eq!(status, 200, "{answer}");
        answer.split("<Upload>").skip(1).map(|upload| between(upload, "Key")).collect()
    }

    /// Puts all files of a folder below a prefix.
    pub fn upload(&self, folder: &Path, prefix: &str) {
        let store = self.store();
        let mut open = vec![folder.to_owned()];
        while let Some(next) = open.pop() {
            for entry in std::fs::read_dir(&next).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    open.push(entry.path());
                    continue;
                }
                let name = format!("{prefix}/{}", entry.path().strip_prefix(folder).unwrap().display());
                let content = std::fs::read(entry.path()).unwrap();
                let put = async { store.put(&ObjectPath::parse(&name).unwrap(), content.into()).await };
                wait(put).unwrap();
            }
        }
    }

    /// Copies all objects below a prefix into a folder.
    pub fn download(&self, prefix: &str, folder: &Path) {
        let store = self.store();
        let prefix = ObjectPath::parse(prefix).unwrap();
        wait(async {
            let mut objects = store.list(Some(&prefix));
            while let Some(object) = objects.next().await {
                let location = object.unwrap().location;
                let below: std::path::PathBuf =
                    location.prefix_match(&prefix).unwrap().map(|part| part.as_ref().to_owned()).collect();
                let file = folder.join(below);
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, store.get(&location).await.unwrap().bytes().await.unwrap()).unwrap();
            }
        });
    }
}

fn between(text: &str, tag: &str) -> String {
    let (_, rest) = text.split_once(&format!("<{tag}>")).unwrap();
    rest.split_once("</").unwrap().0.to_owned()
}

impl Drop for Bucket {
    fn drop(&mut self) {
        // A server that is gone takes the bucket with it.
        let store = self.store();
        let _gone: Vec<_> = wait(async move {
            let objects = store.list(None).map_ok(|object| object.location).boxed();
            store.delete_stream(objects).collect().await
        });
        let _gone = self.server.try_ask("s3", "DELETE", &format!("/{}", self.name), "");
    }
}
