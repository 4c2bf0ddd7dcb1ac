//! How fast the objects of a media folder are listed, and whether memory grows with their number.
//!
//! Objects of one byte are put into a bucket in two layouts, flat random ids and folders of dates, and listed through
//! the source's scan, with several numbers of tasks at a time. Each measurement is a process of its own, so that its peak
//! memory, as the operating system counts it, is that of one listing; a tenth of the objects is listed too, to
//! compare memory with. Beside it stands the limit of the server: the same ranges of keys, asked for in the same pages
//! by as many tasks, whose answers are thrown away. What the scan reaches of that is what it costs itself.
//!
//! The server is the one that the tests use: eval what `scripts/services.sh start s3` prints.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use clap::{Parser, ValueEnum};
use datafusion::catalog::TableProvider;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsAuthorizer, AwsCredential};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpRequestBody, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, PutPayload};
use parking_lot::Mutex;
use quickchat_benches::clock::{Stopwatch, Took};
use quickchat_benches::report::Spread;
use quickchat_benches::{process, progress, report};
use quickchat_sources::{MediaFolder, OUTPUT_COLUMN, SourceTable};
use serde::{Deserialize, Serialize};
use url::Url;

/// Measures the listing of a media folder on an S3 server.
#[derive(Debug, Parser, Serialize)]
struct Options {
    /// Objects of each layout
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    objects: u32,
    /// Tasks at a time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8, 16])]
    tasks: Vec<usize>,
    /// Times that each is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Objects that are put at a time
    #[arg(long, default_value_t = 64)]
    puts: usize,
    /// Bucket that an earlier run with --keep has filled
    #[arg(long)]
    bucket: Option<String>,
    /// Leave the bucket, for a later run with --bucket
    #[arg(long)]
    keep: bool,
    /// What the program starts itself with: what to list
    #[arg(long, hide = true, value_enum, requires_all = ["bucket", "folder"])]
    #[serde(skip)]
    measure: Option<Way>,
    /// The folder that is listed
    #[arg(long, hide = true)]
    #[serde(skip)]
    folder: Option<String>,
}

/// How a folder is listed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Way {
    /// By the source's scan.
    Scan,
    /// By plain requests.
    Raw,
}

#[derive(Serialize)]
struct Results {
    bucket: String,
    flat: Layout,
    dates: Layout,
}

#[derive(Serialize)]
struct Layout {
    objects: u64,
    /// Absent if the bucket was filled before.
    puts_per_second: Option<f64>,
    listings: Vec<Listing>,
    /// The same with a tenth of the objects: only memory is of interest.
    peak_memory_bytes_of_a_tenth: u64,
}

#[derive(Serialize)]
struct Listing {
    tasks: usize,
    ranges: usize,
    planning_requests: u64,
    planning_seconds: Spread,
    objects_per_second: Spread,
    requests_per_second: Spread,
    cpu_seconds: Option<Spread>,
    peak_memory_bytes: u64,
    server_limit_objects_per_second: Spread,
}

/// What a measuring process prints.
#[derive(Serialize, Deserialize)]
struct Measured {
    objects: u64,
    ranges: usize,
    planning_requests: u64,
    planning: Took,
    requests: u64,
    listing: Took,
}

/// The server of the tests.
#[derive(Debug, Clone)]
struct Server {
    endpoint: String,
    key: String,
    secret: String,
}

const REGION: &str = "us-east-1";
const KEYS_PER_REQUEST: u64 = 1_000;

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let server = Server::from_environment()?;
    if let (Some(way), Some(bucket), Some(folder)) = (options.measure, &options.bucket, &options.folder) {
        return measure(&server, way, bucket, folder, options.tasks.first().copied().unwrap_or(1)).await;
    }
    let bucket = match &options.bucket {
        Some(bucket) => bucket.clone(),
        None => server.make_bucket().await?,
    };
    let results = Results {
        flat: layout(&options, &server, &bucket, "flat", flat).await?,
        dates: layout(&options, &server, &bucket, "dates", dates).await?,
        bucket: bucket.clone(),
    };
    report::print("listing", &options, &results)?;
    if !options.keep && options.bucket.is_none() {
        progress("removing the bucket");
        server.remove(&bucket).await?;
    }
    Ok(())
}

/// A number whose digits look random, and are the same in every run.
fn scattered(number: u32) -> u64 {
    u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn flat(number: u32) -> String {
    format!("{:016x}.jpg", scattered(number))
}

fn dates(number: u32) -> String {
    format!(
        "{}/{:02}/{:02}/{:016x}.jpg",
        2024 + number % 2,
        number / 2 % 12 + 1,
        number / 24 % 28 + 1,
        scattered(number)
    )
}

async fn layout(
    options: &Options,
    server: &Server,
    bucket: &str,
    name: &str,
    key: fn(u32) -> String,
) -> Result<Layout> {
    let (folder, tenth) = (name.to_owned(), format!("tenth-of-{name}"));
    let mut puts_per_second = None;
    if options.bucket.is_none() {
        progress(&format!("putting {} objects ({name})", options.objects));
        let watch = Stopwatch::start();
        server.fill(bucket, &folder, options.objects, options.puts, key).await?;
        puts_per_second = Some(f64::from(options.objects) / watch.stop().seconds);
        server.fill(bucket, &tenth, options.objects / 10, options.puts, key).await?;
    }
    let mut listings = Vec::new();
    for &tasks in &options.tasks {
        progress(&format!("listing {name} with {tasks} tasks at a time"));
        listings.push(listing(options, bucket, &folder, tasks)?);
    }
    let most = options.tasks.iter().max().copied().unwrap_or(1);
    let (small, peak_memory_bytes_of_a_tenth) = in_own_process(Way::Scan, bucket, &tenth, most)?;
    ensure!(small.objects == u64::from(options.objects / 10), "{} of a tenth were listed", small.objects);
    Ok(Layout { objects: u64::from(options.objects), puts_per_second, listings, peak_memory_bytes_of_a_tenth })
}

fn listing(options: &Options, bucket: &str, folder: &str, tasks: usize) -> Result<Listing> {
    let (mut scans, mut limits, mut peak_memory_bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..options.rounds.max(1) {
        let (scan, memory) = in_own_process(Way::Scan, bucket, folder, tasks)?;
        let (raw, _) = in_own_process(Way::Raw, bucket, folder, tasks)?;
        for measured in [&scan, &raw] {
            ensure!(measured.objects == u64::from(options.objects), "{} objects were listed", measured.objects);
        }
        peak_memory_bytes = peak_memory_bytes.max(memory);
        scans.push(scan);
        limits.push(raw);
    }
    let rate = |amount: fn(&Measured) -> u64, of: &[Measured]| {
        Spread::of(of.iter().map(|measured| amount(measured) as f64 / measured.listing.seconds))
    };
    let listing: Vec<Took> = scans.iter().map(|scan| scan.listing).collect();
    Ok(Listing {
        tasks,
        ranges: scans.first().map_or(0, |scan| scan.ranges),
        planning_requests: scans.first().map_or(0, |scan| scan.planning_requests),
        planning_seconds: Spread::of(scans.iter().map(|scan| scan.planning.seconds)),
        objects_per_second: rate(|measured| measured.objects, &scans),
        requests_per_second: rate(|measured| measured.requests, &scans),
        cpu_seconds: Spread::cpu(&listing),
        peak_memory_bytes,
        server_limit_objects_per_second: rate(|measured| measured.objects, &limits),
    })
}

/// Starts this program to list a folder; gives what it prints and its peak memory.
fn in_own_process(way: Way, bucket: &str, folder: &str, tasks: usize) -> Result<(Measured, u64)> {
    let way = match way {
        Way::Scan => "scan",
        Way::Raw => "raw",
    };
    let ended = process::run_itself(|command| {
        command.args(["--measure", way, "--bucket", bucket, "--folder", folder, "--tasks", &tasks.to_string()]);
    })?;
    Ok((ended.json()?, ended.used.maxrss))
}

#[expect(clippy::print_stdout, reason = "what this process is started for")]
async fn measure(server: &Server, way: Way, bucket: &str, folder: &str, tasks: usize) -> Result<()> {
    let requests = Requests::default();
    let store = server.builder(bucket).with_http_connector(requests.clone()).build()?;
    let context = SessionContext::new();
    let url = Url::parse(&format!("s3://{bucket}/{folder}/"))?;
    context.register_object_store(&url, Arc::new(store));
    let table = SourceTable::media(MediaFolder::at(&url)?);
    let watch = Stopwatch::start();
    let plan = table.scan(&context.state(), None, &[], None).await?;
    let planning = watch.stop();
    let planning_requests = requests.take().len() as u64;
    let ranges = plan.properties().partitioning.partition_count();
    let watch = Stopwatch::start();
    let partitions = (0..ranges).map(|partition| {
        let (plan, context) = (Arc::clone(&plan), context.task_ctx());
        tokio::spawn(async move {
            let mut batches = plan.execute(partition, context)?;
            let mut objects = 0_u64;
            while let Some(batch) = batches.try_next().await? {
                let output = batch.column_by_name(OUTPUT_COLUMN).context("a scan tells its outputs apart")?;
                let tallies = output.len() - documents(output.as_ref());
                objects += (batch.num_rows() - tallies) as u64;
            }
            anyhow::Ok(objects)
        })
    });
    let mut objects = 0;
    // A task begins when it is polled, which is when there is room for it.
    let mut running = stream::iter(partitions).buffer_unordered(tasks);
    while let Some(listed) = running.next().await {
        objects += listed??;
    }
    let listing = watch.stop();
    let asked = requests.take();
    let measured = match way {
        Way::Scan => Measured { objects, ranges, planning_requests, planning, requests: asked.len() as u64, listing },
        Way::Raw => {
            let client = Arc::new(Raw {
                server: server.clone(),
                http: http()?,
                bucket: bucket.to_owned(),
                folder: folder.to_owned(),
            });
            let (objects, requests, listing) = client.list(&starts(&asked), tasks).await?;
            Measured { objects, ranges, planning_requests, planning, requests, listing }
        }
    };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

fn documents(output: &dyn arrow::array::Array) -> usize {
    use arrow::array::AsArray;
    output.as_primitive::<arrow::datatypes::UInt8Type>().values().iter().filter(|output| **output == 0).count()
}

/// Where the listings began, in order; the first at the beginning.
fn starts(asked: &[String]) -> Vec<Option<String>> {
    let parameter = |url: &str, name: &str| {
        let url = Url::parse(url).ok()?;
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let firsts = asked.iter().filter(|url| parameter(url, "continuation-token").is_none());
    let starts: BTreeSet<Option<String>> = firsts.map(|url| parameter(url, "start-after")).collect();
    starts.into_iter().collect()
}

/// Requests that leave the answers unread, but for where to go on.
struct Raw {
    server: Server,
    http: HttpClient,
    bucket: String,
    folder: String,
}

impl Raw {
    /// Lists ranges, so many at a time; gives the number of objects and of requests, and the time.
    async fn list(self: &Arc<Self>, starts: &[Option<String>], tasks: usize) -> Result<(u64, u64, Took)> {
        let ends = starts.iter().skip(1).cloned().chain(std::iter::once(None));
        let watch = Stopwatch::start();
        let ranges = starts.iter().cloned().zip(ends).map(|(after, until)| {
            let client = Arc::clone(self);
            tokio::spawn(async move { client.range(after, until).await })
        });
        let counts: Vec<(u64, u64)> =
            stream::iter(ranges).buffer_unordered(tasks).map(|joined| joined?).try_collect().await?;
        let (objects, requests) = counts.iter().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        Ok((objects, requests, watch.stop()))
    }

    async fn range(&self, after: Option<String>, until: Option<String>) -> Result<(u64, u64)> {
        let (mut objects, mut requests, mut token) = (0, 0, None::<String>);
        let prefix = format!("{}/", self.folder);
        loop {
            let mut query = vec![("list-type", "2"), ("prefix", prefix.as_str())];
            query.extend(after.as_deref().map(|after| ("start-after", after)));
            query.extend(token.as_deref().map(|token| ("continuation-token", token)));
            let address = format!("{}/{}", self.server.endpoint, self.bucket);
            let body = self.server.ask(&self.http, "GET", Url::parse_with_params(&address, query)?.as_str()).await?;
            requests += 1;
            let text = std::str::from_utf8(&body).context("a listing is no UTF-8")?;
            let all = KEYS_PER_REQUEST.min(text.matches("<Key>").count() as u64);
            let last = text.rfind("<Key>").and_then(|at| text.get(at + 5..)?.split_once('<')).map(|(key, _)| key);
            // Only the last page of a range is looked at more closely.
            if let (Some(until), Some(last)) = (&until, last)
                && last > until.as_str()
            {
                let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split_once('<'));
                return Ok((objects + keys.filter(|(key, _)| *key <= until.as_str()).count() as u64, requests));
            }
            objects += all;
            let next = text.split_once("<NextContinuationToken>").and_then(|(_, rest)| rest.split_once('<'));
            match next {
                Some((next, _)) => token = Some(next.to_owned()),
                None => return Ok((objects, requests)),
            }
        }
    }
}

impl Server {
    fn from_environment() -> Result<Self> {
        let of = |name: &str| {
            let name = format!("QUICKCHAT_TEST_S3_{name}");
            std::env::var(&name)
                .with_context(|| format!("{name} is not set; eval what `scripts/services.sh start s3` prints"))
        };
        Ok(Self { endpoint: of("ENDPOINT")?, key: of("ACCESS_KEY")?, secret: of("SECRET_KEY")? })
    }

    fn builder(&self, bucket: &str) -> AmazonS3Builder {
        AmazonS3Builder::new()
            .with_region(REGION)
            .with_bucket_name(bucket)
            .with_endpoint(&self.endpoint)
            .with_allow_http(true)
            .with_access_key_id(&self.key)
            .with_secret_access_key(&self.secret)
    }

    fn store(&self, bucket: &str) -> Result<AmazonS3> {
        self.builder(bucket).build().context("cannot set up a client of the server")
    }

    /// Makes a bucket with a name that is not used twice.
    async fn make_bucket(&self) -> Result<String> {
        let now = chrono::Utc::now().timestamp_micros();
        let bucket = format!("quickchat-listing-{now}-{}", std::process::id());
        self.ask(&http()?, "PUT", &format!("{}/{bucket}", self.endpoint)).await?;
        Ok(bucket)
    }

    async fn remove(&self, bucket: &str) -> Result<()> {
        let store = self.store(bucket)?;
        let objects = store.list(None).map_ok(|object| object.location).boxed();
        store.delete_stream(objects).try_for_each(|_| async { Ok(()) }).await?;
        self.ask(&http()?, "DELETE", &format!("{}/{bucket}", self.endpoint)).await?;
        Ok(())
    }

    async fn fill(
        &self,
        bucket: &str,
        folder: &str,
        objects: u32,
        at_once: usize,
        key: fn(u32) -> String,
    ) -> Result<()> {
        let store = Arc::new(self.store(bucket)?);
        let done = AtomicU64::new(0);
        let put = |number| {
            let (store, path) = (Arc::clone(&store), Path::parse(format!("{folder}/{}", key(number))));
            let done = &done;
            async move {
                store.put(&path?, PutPayload::from_static(b"1")).await?;
                let count = done.fetch_add(1, Ordering::Relaxed) + 1;
                if count.is_multiple_of(50_000) {
                    progress(&format!("  {count}"));
                }
                anyhow::Ok(())
            }
        };
        stream::iter((0..objects).map(put)).buffer_unordered(at_once).try_collect::<Vec<()>>().await?;
        Ok(())
    }

    /// The body of the answer to a request without one.
    async fn ask(&self, http: &HttpClient, method: &str, url: &str) -> Result<Vec<u8>> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method.parse().context("no method")?;
        *request.uri_mut() = url.parse().context("no address")?;
        let credential = AwsCredential { key_id: self.key.clone(), secret_key: self.secret.clone(), token: None };
        AwsAuthorizer::new(&credential, "s3", REGION).authorize(&mut request, None);
        let answer =
            http.execute(request).await.with_context(|| format!("the server does not answer {method} {url}"))?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.with_context(|| format!("the answer to {method} {url} is cut"))?;
        ensure!(status.is_success(), "{method} {url} was answered with {status}: {}", String::from_utf8_lossy(&body));
        Ok(body.to_vec())
    }
}

fn http() -> Result<HttpClient> {
    let options = ClientOptions::new().with_allow_http(true);
    ReqwestConnector::default().connect(&options).context("cannot set up an HTTP client")
}

/// The addresses of the requests of a client.
#[derive(Debug, Clone, Default)]
struct Requests(Arc<Mutex<Vec<String>>>);

impl Requests {
    /// Those since the last time.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

impl HttpConnector for Requests {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Noted { inner, requests: self.clone() }))
    }
}

#[derive(Debug)]
struct Noted {
    inner: HttpClient,
    requests: Requests,
}

#[async_trait]
impl HttpService for Noted {
    async fn call(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        self.requests.0.lock().push(request.uri().to_string());
        self.inner.execute(request).await
    }
}
