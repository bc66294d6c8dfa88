-- wrk script for devices that poll for a token while the authorization is pending (RFC 8628, section 3.4). Each thread
-- cycles through its own share of the device codes, so that the interval between two polls of a code is as long as
-- possible. Every response other than `authorization_pending` counts as refused, including `slow_down`.
-- Arguments: path, file with one device code a line, number of threads.

local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
  thread:set("number", #threads)
end

function init(args)
  local path, file, shares = args[1], args[2], tonumber(args[3])
  requests, at, pending = {}, 0, 0
  local line = 0
  for code in io.lines(file) do
    line = line + 1
    if line % shares == number % shares then
      local body = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&client_id=terminal&device_code=" .. code
      requests[#requests + 1] =
        wrk.format("POST", path, { ["Content-Type"] = "application/x-www-form-urlencoded" }, body)
    end
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function response(status, _, body)
  if status == 400 and body:find('"authorization_pending"', 1, true) then
    pending = pending + 1
  end
end

function done(summary, latency)
  local errors, answered = summary.errors, 0
  for _, thread in ipairs(threads) do
    answered = answered + thread:get("pending")
  end
  io.write(string.format(
    "MEASURED requests=%d micros=%d refused=%d broken=%d p50=%d p99=%d\n",
    summary.requests, summary.duration, math.max(summary.requests - answered, 0),
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
