sip.example.com example.net 5060
