//! A bucket for one test, on the server that `scripts/services.sh start s3` starts.

// Two test programs use it, and neither all of it.
#![allow(dead_code, unreachable_pub)]

use object_store::aws::{AmazonS3, AmazonS3Builder, AwsAuthorizer, AwsCredential};
use object_store::client::{HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStoreExt};

/// A new bucket. It goes with its server.
pub struct Bucket {
    pub name: String,
    endpoint: String,
    key: String,
    secret: String,
}

impl Bucket {
    /// Makes a bucket with a name that is not used twice.
    pub async fn new() -> Self {
        let bucket = Self::imaginary();
        bucket.put_empty("").await;
        bucket
    }

    /// Puts the object that consoles make for a folder, whose key ends in a slash.
    pub async fn put_marker(&self, key: &str) {
        self.put_empty(&format!("/{key}")).await;
    }

    /// Puts nothing at a path, which `object_store` would change.
    async fn put_empty(&self, path: &str) {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = "PUT".parse().unwrap();
        *request.uri_mut() = format!("{}/{}{path}", self.endpoint, self.name).parse().unwrap();
        let credential = AwsCredential { key_id: self.key.clone(), secret_key: self.secret.clone(), token: None };
        AwsAuthorizer::new(&credential, "s3", "us-east-1").authorize(&mut request, None);
        let client = ReqwestConnector::default().connect(&ClientOptions::new().with_allow_http(true)).unwrap();
        let status = client.execute(request).await.unwrap().status();
        assert!(status.is_success(), "{path} cannot be put into the bucket {}: {status}", self.name);
    }

    /// A bucket that is not there.
    pub fn imaginary() -> Self {
        let of = |name: &str| {
            std::env::var(format!("QUICKCHAT_TEST_S3_{name}")).unwrap_or_else(|_| {
                panic!("QUICKCHAT_TEST_S3_{name} is not set; eval what `scripts/services.sh start s3` prints")
            })
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let name = format!("quickchat-{}-{}", std::process::id(), now.as_nanos());
        Self { name, endpoint: of("ENDPOINT"), key: of("ACCESS_KEY"), secret: of("SECRET_KEY") }
    }

    /// `s3://<bucket>/<path>`.
    pub fn url(&self, path: &str) -> String {
        format!("s3://{}/{path}", self.name)
    }

    /// The variables by which a process reaches the bucket.
    pub fn owner(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", self.key.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret.clone()),
        ]
    }

    pub fn builder(&self) -> AmazonS3Builder {
        AmazonS3Builder::new()
            .with_bucket_name(&self.name)
            .with_endpoint(&self.endpoint)
            .with_allow_http(true)
            .with_access_key_id(&self.key)
            .with_secret_access_key(&self.secret)
    }

    pub fn store(&self) -> AmazonS3 {
        self.builder().build().unwrap()
    }

    /// Puts an object.
    pub async fn put(&self, key: &str, content: &[u8]) {
        self.store().put(&Path::parse(key).unwrap(), content.to_vec().into()).await.unwrap();
    }
}
