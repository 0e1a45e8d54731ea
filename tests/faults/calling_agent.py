"""An agent that calls twice, for runs that lose the endpoint which it calls. It imports little: it starts often."""

import http.client
import json
import os
import sys
from urllib.parse import urlsplit

PATIENCE_S = 300.0

address = urlsplit(os.environ["OPENAI_BASE_URL"])
headers = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
messages = [{"role": "user", "content": sys.argv[1]}]
for _ in range(2):
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=PATIENCE_S)
    body = json.dumps({"model": os.environ["OPENAI_MODEL"], "messages": messages})
    connection.request("POST", f"{address.path}/chat/completions", body, headers)
    said = json.load(connection.getresponse())["choices"][0]["message"]["content"]
    messages += [{"role": "assistant", "content": said}, {"role": "user", "content": "Again."}]
