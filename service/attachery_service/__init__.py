"""The upload-session service: takes files in safely and hands exactly the verified bytes out."""
