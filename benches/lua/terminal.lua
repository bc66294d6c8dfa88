-- Terminals for wrk: one request for each device, made beforehand, and drawn at random.
-- Arguments: method, path, number of the first device, number of devices, seed.
-- Of more than MOST devices each thread takes so many at random: the requests would fill the memory, and these few
-- already touch nearly every page of the table.

local MOST = 100000

local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  local method, path, first, count = args[1], args[2], tonumber(args[3]), tonumber(args[4])
  math.randomseed(tonumber(args[5]) * 1000 + number)
  requests = {}
  for place = 0, math.min(count, MOST) - 1 do
    local device = first + (count > MOST and math.random(0, count - 1) or place)
    requests[#requests + 1] = wrk.format(method, path, {
      ["X-Device-Id"] = string.format("POS-%08d", device),
      ["User-Agent"] = "Viopay-POS/1.4.2 (Android 12; PAX-A920)",
      ["X-Client-Type"] = "pos",
    })
  end
end

function request()
  return requests[math.random(#requests)]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "MEASURED requests=%d micros=%d refused=%d broken=%d p50=%d p99=%d\n",
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
