"""From a scan and a bundle to a segmentation on the scan's own grid."""
